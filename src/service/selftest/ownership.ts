import type { Entry, OwnershipOperation } from '../../core/operation.ts'

// A second opinion. It shares no code with the rules that granted anything (core/decide, core/evolve), so that a mistake there cannot
// excuse itself here.

/** One ownership as the log tells it. Times are the store's clock in milliseconds. */
export interface Ownership {
  readonly resource: string
  readonly agentId: string
  readonly leaseId: string
  readonly token: number
  readonly startedM: number
  readonly startedAt: number
  ttlSecs: number
  lastBeatM: number
  renewals: number
  endedM: number | null
  endedBy: string | null
}

export interface Judgement {
  readonly ownerships: readonly Ownership[]
  /** Most holders that any resource had at once: 1, or 0 when nothing happened. */
  readonly mostHolders: number
  /** What the log should never say, in words; the first few are enough. */
  readonly twoHolders: readonly string[]
  readonly tokensNotGrowing: readonly string[]
  readonly earlyEvictions: readonly string[]
  readonly strangeEnds: readonly string[]
  readonly repeatedOpIds: readonly string[]
  readonly repairs: number
  readonly evictions: number
  readonly counts: Readonly<Record<string, number>>
}

class Fold {
  readonly ownerships: Ownership[] = []
  readonly open = new Map<string, Ownership[]>()
  readonly tokens = new Map<string, number>()
  readonly opIds = new Set<string>()
  readonly counts: Record<string, number> = {}
  readonly found = {
    twoHolders: [] as string[],
    tokensNotGrowing: [] as string[],
    earlyEvictions: [] as string[],
    strangeEnds: [] as string[],
    repeatedOpIds: [] as string[],
  }
  mostHolders = 0

  start({ seq, at, clk, operation }: Entry, { resources, leaseIds, holder, ttlSecs }: OwnershipOperation): void {
    for (const [index, resource] of resources.entries()) {
      const present = this.open.get(resource) ?? []
      // A transfer and its like replace the owner they name; whatever else is open at an acquire is a second holder.
      const replaced = operation.op === 'acquire' || operation.op === 'reserve' ? [] : present.splice(0)
      for (const ownership of replaced) Object.assign(ownership, { endedM: clk.m, endedBy: operation.op })
      const begun = { startedM: clk.m, startedAt: at, ttlSecs, lastBeatM: clk.m, renewals: 0, endedM: null, endedBy: null }
      const ownership: Ownership = { resource, agentId: holder.agentId, leaseId: leaseIds[index] ?? '', token: seq, ...begun }
      const before = present.at(-1)
      if (before !== undefined)
        this.found.twoHolders.push(`${resource}: ${holder.agentId} (#${seq}) beside ${before.agentId} (#${before.token})`)
      const last = this.tokens.get(resource) ?? 0
      if (seq <= last) this.found.tokensNotGrowing.push(`${resource}: #${seq} after #${last}`)
      this.tokens.set(resource, Math.max(seq, last))
      this.open.set(resource, [...present, ownership])
      this.mostHolders = Math.max(this.mostHolders, present.length + 1)
      this.ownerships.push(ownership)
    }
  }

  beat({ seq, clk }: Entry, resource: string, token: number, ttlSecs: number): void {
    const ownership = this.open.get(resource)?.find(each => each.token === token)
    if (ownership === undefined) this.found.strangeEnds.push(`record ${seq} renews ${resource} with #${token}, which does not own it`)
    else Object.assign(ownership, { lastBeatM: clk.m, ttlSecs, renewals: ownership.renewals + 1 })
  }

  end({ seq, clk, operation }: Entry, resource: string, token: number): void {
    const present = this.open.get(resource) ?? []
    const ownership = present.find(each => each.token === token)
    if (ownership === undefined) {
      this.found.strangeEnds.push(`record ${seq} (${operation.op}) ends #${token} of ${resource}, which does not own it`)
      return
    }
    const dueM = ownership.lastBeatM + ownership.ttlSecs * 1000
    const byTime = operation.op === 'auto-evict' && operation.reason === 'ttl'
    if (byTime && (ownership.ttlSecs === 0 || clk.m < dueM))
      this.found.earlyEvictions.push(`${resource} #${token}: ${dueM - clk.m} ms too early`)
    Object.assign(ownership, { endedM: clk.m, endedBy: operation.op })
    const left = present.filter(each => each !== ownership)
    this.open.set(resource, left)
  }
}

/** Reads a history as a stranger would and says who owned what, and where the log contradicts the promises. */
export function judgeHistory(entries: readonly Entry[]): Judgement {
  const fold = new Fold()
  for (const entry of entries) {
    const { operation } = entry
    fold.counts[operation.op] = (fold.counts[operation.op] ?? 0) + 1
    if (operation.opId !== null && fold.opIds.has(operation.opId)) fold.found.repeatedOpIds.push(`${operation.opId} at record ${entry.seq}`)
    if (operation.opId !== null) fold.opIds.add(operation.opId)
    if ('from' in operation) fold.start(entry, operation)
    else if (operation.op === 'renew' || operation.op === 'heartbeat')
      for (const resource of operation.resources) fold.beat(entry, resource, operation.token, operation.ttlSecs)
    else if (operation.op === 'release') for (const resource of operation.resources) fold.end(entry, resource, operation.token)
    else if ('previousToken' in operation) for (const resource of operation.resources) fold.end(entry, resource, operation.previousToken)
  }
  const { ownerships, mostHolders, counts, found } = fold
  return { ownerships, mostHolders, ...found, repairs: counts['repair'] ?? 0, evictions: counts['auto-evict'] ?? 0, counts }
}

/** All of a store's history, in memory: for short logs. */
export async function collect(history: AsyncIterable<Entry>): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  for await (const entry of history) entries.push(entry)
  return entries
}
