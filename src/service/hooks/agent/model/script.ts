/** One tool call that the model makes. */
export interface Call {
  readonly tool: string
  /** What the tool is given; a text where the protocol has free-form tools (Codex: `apply_patch`). */
  readonly input: Readonly<Record<string, unknown>> | string
}

/** What the model does in one turn: a call, or several at once. */
export type Step = Call | readonly Call[]

/** What the model says next. */
export type Turn = { readonly calls: readonly Call[]; readonly step: number } | { readonly text: string }

const mark = /<<script (\S+) script>>/

/** A prompt that makes the scripted model take these steps, one a turn, and then say that it is done. */
export const promptFor = (steps: readonly Step[]): string => `go <<script ${Buffer.from(JSON.stringify(steps)).toString('base64')} script>>`

/** The steps that a text asks for, null when it asks for none. */
export function stepsIn(text: string): readonly Step[] | null {
  const found = mark.exec(text)?.[1]
  return found === undefined ? null : (JSON.parse(Buffer.from(found, 'base64').toString('utf8')) as readonly Step[])
}

/** The turn after `done` earlier ones. */
export function turnOf(steps: readonly Step[] | null, done: number): Turn {
  const step = steps?.[done]
  if (step !== undefined) return { calls: 'tool' in step ? [step] : step, step: done }
  return { text: steps === null ? 'ok' : 'All done.' }
}
