import type { Entries } from './document.ts'
import { callOf, callWithin, handlersOf } from './line.ts'

/** An event whose hooks do less than they have to. */
export interface Gap {
  readonly event: string
  /** Nothing that it needs runs any more. */
  readonly lost: boolean
  /** Else: the tools for which nothing runs, as the client's matcher names them. */
  readonly tools: readonly string[]
}

/** What installed hooks of ours leave out of what is wanted. More than that is no gap: who asks about every tool asks about ours. */
export function gapsIn(installed: Entries, wanted: Entries): readonly Gap[] {
  return Object.entries(wanted).flatMap(([event, entries]) =>
    entries.flatMap((entry): readonly Gap[] => {
      const matchers = (installed[event] ?? []).filter(other => ['auto', callIn(entry)].includes(callIn(other))).map(matcherOf)
      if (matchers.length === 0) return [{ event, lost: true, tools: [] }]
      const tools = (matcherOf(entry) ?? '').split('|').filter(tool => tool !== '' && !matchers.some(matcher => covers(matcher, tool)))
      return tools.length === 0 ? [] : [{ event, lost: false, tools }]
    }),
  )
}

/** What the hooks of one event call; `auto` is what is wanted there. */
export function callsIn(installed: Entries, wanted: Entries): ReadonlySet<string> {
  const calls = Object.entries(installed).flatMap(([event, entries]) =>
    entries.map(callIn).flatMap(call => (call === 'auto' ? (wanted[event] ?? []).map(callIn) : [call])),
  )
  return new Set(calls.filter(call => call !== undefined))
}

const callIn = (entry: unknown): string | undefined =>
  handlersOf(entry)
    .map(handler => (callOf(handler) ?? callWithin(handler))?.event)
    .find(event => event !== undefined)

function matcherOf(entry: unknown): string | undefined {
  const { matcher } = (entry ?? {}) as { readonly matcher?: unknown }
  return typeof matcher === 'string' ? matcher : undefined
}

/** No matcher, an empty one and a star are every tool. */
function covers(matcher: string | undefined, tool: string): boolean {
  if (matcher === undefined || matcher === '' || matcher === '*' || matcher.split('|').includes(tool)) return true
  try {
    return new RegExp(`^(?:${matcher})$`).test(tool.replace('.*', 'x'))
  } catch {
    return false
  }
}
