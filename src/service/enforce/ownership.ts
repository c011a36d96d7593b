import type { EndedBy, Holder } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { endedBy, isOwnership } from '../../core/operation.ts'

/** One ownership of a resource, from the record that made it to the one that ended it. */
export interface Ownership {
  readonly resource: string
  readonly leaseId: string
  /** Its token; a resumed session has a newer one under the same lease id. */
  readonly token: number
  readonly holder: Holder
  /** Null while it is held. */
  readonly endedBy: EndedBy | null
  readonly reason: string | null
  readonly outcome: string | null
  /** Wall clock, milliseconds since the epoch; null while it is held. */
  readonly endedAt: number | null
}

/** What the log tells of resources: every ownership in order, and what was let through by somebody's word. */
export interface Chronicle {
  ownerships(resource: string): readonly Ownership[]
  isAllowed(resource: string, token: number): boolean
}

/** Reads the log once for these resources. */
export async function chronicleOf(entries: AsyncIterable<Entry>, resources: ReadonlySet<string>): Promise<Chronicle> {
  const chronicle = new Chronicler(resources)
  for await (const entry of entries) chronicle.take(entry)
  return chronicle
}

/** Folds records into ownerships. */
export class Chronicler implements Chronicle {
  readonly #wanted: ReadonlySet<string>
  readonly #ownerships = new Map<string, Ownership[]>()
  readonly #allowed = new Set<string>()

  constructor(wanted: ReadonlySet<string>) {
    this.#wanted = wanted
  }

  ownerships(resource: string): readonly Ownership[] {
    return this.#ownerships.get(resource) ?? []
  }

  isAllowed(resource: string, token: number): boolean {
    return this.#allowed.has(`${token} ${resource}`)
  }

  take(entry: Entry): void {
    const { operation } = entry
    if (!('resources' in operation)) return
    for (const [index, resource] of operation.resources.entries()) {
      if (!this.#wanted.has(resource)) continue
      if (operation.op === 'allow') this.#allowed.add(`${operation.token} ${resource}`)
      else if (isOwnership(operation)) this.#begin(entry, resource, operation.leaseIds[index] ?? '', operation.holder)
      else this.#end(entry, resource)
    }
  }

  #begin(entry: Entry, resource: string, leaseId: string, holder: Holder): void {
    this.#end(entry, resource)
    const known = this.#ownerships.get(resource) ?? []
    this.#ownerships.set(resource, known)
    const last = known.at(-1)
    const next = { resource, leaseId, token: entry.seq, holder, endedBy: null, reason: null, outcome: null, endedAt: null }
    // The same ownership goes on in another session: commits of either belong to it.
    if (last?.leaseId === leaseId && last.endedBy === null) known[known.length - 1] = next
    else known.push(next)
  }

  #end({ at, operation }: Entry, resource: string): void {
    const how = endedBy(operation)
    const known = this.#ownerships.get(resource)
    const last = known?.at(-1)
    if (how === null || known === undefined || last === undefined || last.endedBy !== null) return
    const outcome = operation.op === 'release' ? operation.outcome : null
    const reason = 'reason' in operation ? operation.reason : null
    known[known.length - 1] = { ...last, endedBy: how, reason, outcome, endedAt: at }
  }
}
