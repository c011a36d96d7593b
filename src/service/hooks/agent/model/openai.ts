import type { Step, Turn } from './script.ts'
import { stepsIn, turnOf } from './script.ts'

// The Responses API as Codex speaks it, and no more of it.

interface Item {
  readonly type?: string
  readonly role?: string
  readonly content?: string | readonly { readonly text?: string }[]
  readonly call_id?: string
}

/** What is read of a request. */
export interface ResponsesRequest {
  readonly model?: string
  readonly input?: string | readonly Item[]
}

/** What the model answers. Which steps are done is read from the ids of its calls, because messages of one turn are not kept together. */
export function turnFor({ input = [] }: ResponsesRequest): Turn {
  const items: readonly Item[] = typeof input === 'string' ? [{ type: 'message', role: 'user', content: input }] : input
  let steps: readonly Step[] | null = null
  let done = 0
  for (const { role, content = '', call_id: id, type = 'message' } of items) {
    if (type === 'message' && role === 'user') {
      const found = stepsIn(typeof content === 'string' ? content : content.map(part => part.text ?? '').join('\n'))
      if (found === null) continue
      steps = found
      done = 0
    } else if (type.endsWith('_call')) done = Math.max(done, Number(/^call_(\d+)_/.exec(id ?? '')?.[1] ?? -1) + 1)
  }
  return turnOf(steps, done)
}

/** The answer as server-sent events. `serial` tells answers apart. */
export function* eventsFor(request: ResponsesRequest, serial: number): Generator<readonly [type: string, data: Record<string, unknown>]> {
  const turn = turnFor(request)
  const response = { id: `resp_${serial}`, object: 'response', model: request.model, status: 'in_progress', output: [] }
  const output =
    'text' in turn
      ? [{ type: 'message', role: 'assistant', id: `msg_${serial}`, content: [{ type: 'output_text', text: turn.text, annotations: [] }] }]
      : turn.calls.map(({ tool, input }, index) => {
          const call = { id: `fc_${serial}_${index}`, call_id: `call_${turn.step}_${serial}_${index}`, name: tool, status: 'completed' }
          return typeof input === 'string'
            ? { type: 'custom_tool_call', ...call, input }
            : { type: 'function_call', ...call, arguments: JSON.stringify(input) }
        })
  yield ['response.created', { response }]
  for (const [index, item] of output.entries()) yield ['response.output_item.done', { output_index: index, item }]
  const usage = { input_tokens: 10, input_tokens_details: null, output_tokens: 5, output_tokens_details: null, total_tokens: 15 }
  yield ['response.completed', { response: { ...response, status: 'completed', output, usage } }]
}
