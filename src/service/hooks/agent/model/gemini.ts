import type { Step, Turn } from './script.ts'
import { stepsIn, turnOf } from './script.ts'

// `generateContent` as Gemini CLI speaks it, and no more of it.

interface Content {
  readonly role?: string
  readonly parts?: readonly { readonly text?: string; readonly functionCall?: unknown }[]
}

/** What is read of a request. */
export interface GenerateRequest {
  readonly contents?: readonly Content[]
  readonly tools?: readonly unknown[]
}

/** What the model answers to a conversation. */
export function turnFor({ contents = [], tools = [] }: GenerateRequest): Turn {
  let steps: readonly Step[] | null = null
  let done = 0
  for (const { role, parts = [] } of contents) {
    if (role === 'user') {
      const found = stepsIn(parts.map(part => part.text ?? '').join('\n'))
      if (found === null) continue
      steps = found
      done = 0
    } else if (parts.some(part => part.functionCall !== undefined)) done++
  }
  // Without tools it is a side question, such as which model to use.
  return tools.length === 0 ? turnOf(null, 0) : turnOf(steps, done)
}

/** The answer as one document. */
export function answerFor(request: GenerateRequest): Record<string, unknown> {
  const turn = turnFor(request)
  const parts =
    'text' in turn ? [{ text: turn.text }] : turn.calls.map(({ tool, input }) => ({ functionCall: { name: tool, args: input } }))
  return {
    candidates: [{ index: 0, content: { role: 'model', parts }, finishReason: 'STOP' }],
    usageMetadata: { promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 15 },
    modelVersion: 'scripted',
  }
}
