import type { HookEvent, Merged, Surroundings } from './client.ts'
import { shellLine } from './line.ts'
import type { AgentName } from './names.ts'

// Claude's shape of hooks, which Codex, Gemini and Qwen took over: `hooks.<event>` is a list of groups, each with a matcher and its hooks.

/** Which event of a client calls what, for which tools. */
export interface Wire {
  readonly on: string
  readonly event: HookEvent
  /** Tools; absent where the event has none. */
  readonly matcher?: string
}

/** How one client writes a hook. */
export interface Handwriting {
  readonly agent: AgentName
  /** Three seconds, in the client's unit. */
  readonly timeout: number
  /** More that belongs to each hook. */
  readonly extra?: (wire: Wire) => Readonly<Record<string, unknown>>
  /** The line in the client's form; the shell's words unless told. */
  readonly command?: (line: string) => Readonly<Record<string, unknown>>
}

/** The entries of a settings file in that shape. */
export function groupedEntries(
  wires: readonly Wire[],
  { agent, timeout, extra, command }: Handwriting,
  around: Surroundings,
): Merged['entries'] {
  const entries: Record<string, unknown[]> = {}
  for (const wire of wires) {
    const line = shellLine(around.program, wire.event, agent)
    const handler = { type: 'command', ...(command?.(line) ?? { command: line }), timeout, ...extra?.(wire) }
    entries[wire.on] ??= []
    entries[wire.on]!.push(wire.matcher === undefined ? { hooks: [handler] } : { matcher: wire.matcher, hooks: [handler] })
  }
  return entries
}
