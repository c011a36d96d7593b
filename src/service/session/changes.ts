import { isoFromMs } from '../../core/time.ts'
import type { Wire } from '../../core/wire.ts'
import type { Reading } from '../../store/store.ts'
import { seenToWire } from '../claim/answer.ts'
import { pendingToWire } from '../claim/pending.ts'
import type { Overview } from './overview.ts'
import { seenSessionToWire } from './report.ts'

// What became of an overview, as single events. A renewal is none: nothing that a person would act on is different after it.

/** `is`: it was there when watching began. */
export type ChangeWord = 'is' | 'appears' | 'becomes' | 'goes'

/** One thing that changed, with what it is now; one that goes, as it was last. */
export interface Change {
  readonly change: ChangeWord
  readonly kind: 'pending' | 'session' | 'lease'
  /** The name of a session, else the resource. */
  readonly name: string
  readonly standing: string
  readonly before: string | null
  /** One line about it, for people. */
  readonly about: string
  readonly document: Wire
}

interface Thing extends Omit<Change, 'change' | 'before'> {
  readonly key: string
}

/** Things as documents, since what goes has to be told after its view is gone. */
export type Things = ReadonlyMap<string, Thing>

export function thingsOf({ pending, sessions, mine, others }: Overview, view: Reading): Things {
  const things: Thing[] = [
    ...pending.map((each): Thing => ({
      key: `pending ${each.launchId ?? ''} ${each.resource}`,
      kind: 'pending',
      name: each.resource,
      standing: each.launcherAlive ? 'pending' : 'orphaned',
      about: [each.role, each.agentId, each.open].filter(part => part !== null).join(', '),
      document: pendingToWire(each),
    })),
    ...sessions.map((seen): Thing => {
      const { session, standing, open } = seen
      return {
        key: `session ${session.sessionId}`,
        kind: 'session',
        name: session.name,
        standing,
        about: [session.role, ...session.relatedTickets, session.agentId, standing === 'live' ? null : open]
          .filter(part => part !== null)
          .join(', '),
        document: seenSessionToWire(seen, view),
      }
    }),
    ...[...mine, ...others].map((seen): Thing => ({
      key: `lease ${seen.lease.resource} ${seen.lease.token}`,
      kind: 'lease',
      name: seen.lease.resource,
      standing: seen.standing,
      about: `${seen.lease.holder.agentId}, token ${seen.lease.token}`,
      document: seenToWire(seen),
    })),
  ]
  return new Map(things.map(thing => [thing.key, thing]))
}

/** From one moment to the next: what goes first, since what appears may take its place. `before` is null for the first look. */
export function changesBetween(before: Things | null, after: Things): readonly Change[] {
  const gone = [...(before ?? [])]
    .filter(([key]) => !after.has(key))
    .map(([, thing]): Change => ({ ...thing, change: 'goes', before: null }))
  const others = [...after].flatMap(([key, thing]): readonly Change[] => {
    if (before === null) return [{ ...thing, change: 'is', before: null }]
    const known = before.get(key)
    if (known === undefined) return [{ ...thing, change: 'appears', before: null }]
    return known.standing === thing.standing ? [] : [{ ...thing, change: 'becomes', before: known.standing }]
  })
  return [...gone, ...others]
}

/** A line of `lh status --watch --json`. */
export const changeToWire = ({ change, kind, name, standing, before, document }: Change, atMs: number): Wire => ({
  at: isoFromMs(atMs),
  change,
  kind,
  name,
  standing,
  before,
  [kind]: document,
})

/** The same line for people. */
export function changeInWords({ change, kind, name, standing, before, about }: Change, atMs: number): string {
  const verb =
    change === 'goes' ? `goes (was ${standing})` : change === 'becomes' ? `becomes ${standing} (was ${before})` : `${change} ${standing}`
  return `${isoFromMs(atMs)}  ${kind} ${name} ${verb}: ${about}`
}
