import type { Step, Turn } from './script.ts'
import { stepsIn, turnOf } from './script.ts'

// The Messages API as Claude Code speaks it, and no more of it.

interface Message {
  readonly role: string
  readonly content: string | readonly { readonly text?: string }[]
}

/** What is read of a request. */
export interface MessagesRequest {
  readonly model?: string
  readonly messages?: readonly Message[]
  readonly tools?: readonly unknown[]
}

/** What the model answers to a conversation. The last message with a script counts: a subagent gets its own in its prompt. */
export function turnFor({ messages = [], tools = [] }: MessagesRequest): Turn {
  let steps: readonly Step[] | null = null
  let since = 0
  for (const [index, { role, content }] of messages.entries()) {
    if (role !== 'user') continue
    const text = typeof content === 'string' ? content : content.map(block => block.text ?? '').join('\n')
    const found = stepsIn(text)
    if (found === null) continue
    steps = found
    since = index
  }
  // Without tools it is a side question, such as for a title.
  return tools.length === 0 ? turnOf(null, 0) : turnOf(steps, messages.slice(since + 1).filter(({ role }) => role === 'assistant').length)
}

/** The answer as server-sent events. `serial` tells answers apart. */
export function* eventsFor(request: MessagesRequest, serial: number): Generator<readonly [type: string, data: Record<string, unknown>]> {
  const turn = turnFor(request)
  const usage = { input_tokens: 10, output_tokens: 5 }
  const start = { id: `msg_${serial}`, type: 'message', role: 'assistant', model: request.model, content: [] }
  yield ['message_start', { message: { ...start, stop_reason: null, stop_sequence: null, usage } }]
  const blocks =
    'text' in turn
      ? [{ block: { type: 'text', text: '' }, delta: { type: 'text_delta', text: turn.text } }]
      : turn.calls.map(({ tool, input }, index) => ({
          block: { type: 'tool_use', id: `toolu_${serial}_${index}`, name: tool, input: {} },
          delta: { type: 'input_json_delta', partial_json: JSON.stringify(input) },
        }))
  for (const [index, { block, delta }] of blocks.entries()) {
    yield ['content_block_start', { index, content_block: block }]
    yield ['content_block_delta', { index, delta }]
    yield ['content_block_stop', { index }]
  }
  yield ['message_delta', { delta: { stop_reason: 'text' in turn ? 'end_turn' : 'tool_use', stop_sequence: null }, usage }]
  yield ['message_stop', {}]
}
