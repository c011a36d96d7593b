import type { Acquire, AcquireFirst, Beat, Command, Confirm, Release, Target } from '../../src/core/command.ts'
import type { Holder } from '../../src/core/lease.ts'
import type { Operation } from '../../src/core/operation.ts'
import type { Policy } from '../../src/core/policy.ts'
import type { Presented, Refusal } from '../../src/core/refusal.ts'

// The rules of leases.md once more, written from the table and not from `decide`: ownerships are objects that own keys, there is no
// log to fold and no slot per key. Where both agree over thousands of histories, a mistake would have to be made twice.

/** One ownership: what one record made. All keys of a group belong to one of these. */
export interface Ownership {
  readonly token: number
  readonly ids: Map<string, string>
  readonly holder: Holder
  readonly pending: boolean
  ttl: number
  /** Store clock of the last sign of life, milliseconds. */
  beat: number
  readonly live: string | null
  readonly reason: string | null
}

/** How the last ownership of a key ended. */
export interface Ended {
  readonly token: number
  readonly id: string
  readonly holder: Holder
  readonly how: string
  /** What became of the work; `done` and `closed` stay until somebody says otherwise. */
  readonly outcome: string | null
}

interface Remembered {
  readonly agentId: string
  readonly type: Command['type']
  /** What was asked for, and what the record that carries the op_id is about. */
  readonly asked: readonly string[]
  readonly keys: readonly string[]
  readonly ids: readonly string[]
  /** The target as it was written. */
  readonly target: string | null
}

/** A record as the model foresees it. */
export interface Foreseen {
  readonly op: Operation['op']
  readonly keys: readonly string[]
  /** The token of the ownership that a record begins, carries on or ends. */
  readonly token: number
}

export type Answer =
  | {
      readonly ok: true
      readonly records: readonly Foreseen[]
      readonly keys: readonly string[]
      readonly alreadyHeld: boolean
      readonly late: boolean
      readonly replay: boolean
    }
  | { readonly ok: false; readonly kind: Refusal['kind'] }
  /** Rulings leave it open; only "nothing is written" counts. */
  | { readonly ok: null }

const same = (a: Holder, b: Holder): boolean => a.agentId === b.agentId && a.worktreeId === b.worktreeId && a.sessionId === b.sessionId
const sameAgent = (a: Holder, b: Holder): boolean => a.agentId === b.agentId && a.worktreeId === b.worktreeId
const sameSet = (a: readonly string[], b: readonly string[]): boolean => a.length === b.length && a.every(each => b.includes(each))
const possible = (ttl: number): boolean => ttl === 0 || (ttl >= 1 && ttl <= 2_592_000)
const no = (kind: Refusal['kind']): Answer => ({ ok: false, kind })
const countOf = (owners: readonly Ownership[]): number => owners.reduce((sum, { ids }) => sum + ids.size, 0)

export class Model {
  seq = 0
  /** Key to ownership; a key that is freed leaves the map, so the order is the order of grants. */
  readonly owners = new Map<string, Ownership>()
  readonly ended = new Map<string, Ended>()
  readonly dead = new Set<string>()
  readonly #suspected = new Map<Ownership, number>()
  readonly #ops = new Map<string, Remembered>()
  readonly #policy: Policy
  readonly #guardMs: number
  readonly #overlap: (a: string, b: string) => boolean
  #records: Foreseen[] = []

  constructor(policy: Policy, guardMs: number, overlap: (a: string, b: string) => boolean) {
    this.#policy = policy
    this.#guardMs = guardMs
    this.#overlap = overlap
  }

  deadline(owner: Ownership): number | null {
    return owner.ttl === 0 ? null : owner.beat + owner.ttl * 1000
  }

  step(command: Command, now: number): Answer {
    this.#records = []
    const known = command.retry ? this.#ops.get(command.opId) : undefined
    if (known !== undefined) return this.#replay(command, known)
    const token = 'presented' in command ? command.presented.token : 'token' in command ? command.token : null
    if (token !== null && token > this.seq) return no('store-reset')
    const answer = this.#carryOut(command, now)
    if (answer.ok === true && answer.records.length > 0 && command.type !== 'sweep') {
      const last = answer.records.at(-1)!
      const ids = last.keys.map(key => this.owners.get(key)?.ids.get(key) ?? this.ended.get(key)!.id)
      this.#ops.set(command.opId, {
        agentId: command.holder.agentId,
        type: command.type,
        asked: 'resources' in command ? command.resources : last.keys,
        keys: last.keys,
        ids: 'target' in command && 'leaseId' in command.target ? [...ids, command.target.leaseId] : ids,
        target: 'target' in command ? JSON.stringify(command.target) : null,
      })
    }
    return answer
  }

  #replay(command: Command, known: Remembered): Answer {
    const again = (): Answer => ({
      ok: true,
      records: [],
      keys: 'resources' in command ? command.resources : known.asked,
      alreadyHeld: false,
      late: false,
      replay: true,
    })
    if (command.holder.agentId !== known.agentId) return no('op-id-reused')
    // Which of the candidates it was cannot be told from what is asked now; and proof is asked for anew each time.
    if (['acquire-first', 'guard'].some(type => type === command.type || type === known.type)) return { ok: null }
    if (command.type !== known.type) return known.keys.some(key => this.#names(command, key, known)) ? { ok: null } : no('op-id-reused')
    if ('resources' in command) {
      if (!command.resources.some(key => known.keys.includes(key))) return no('op-id-reused')
      const exact = sameSet(command.resources, known.asked)
      // Where the record does not name all that was asked for, or other keys are asked for now, the log alone cannot tell.
      return exact && known.asked.every(key => known.keys.includes(key)) ? again() : { ok: null }
    }
    if ('target' in command && JSON.stringify(command.target) === known.target) return again()
    return known.keys.some(key => this.#names(command, key, known)) || ('target' in command && 'leaseId' in command.target)
      ? { ok: null }
      : no('op-id-reused')
  }

  #names(command: Command, key: string, known: Remembered): boolean {
    if ('resources' in command) return command.resources.includes(key)
    if (!('target' in command)) return false
    return 'resource' in command.target ? command.target.resource === key : known.ids.includes(command.target.leaseId)
  }

  #carryOut(command: Command, now: number): Answer {
    switch (command.type) {
      case 'acquire':
      case 'reserve':
        return this.#acquire(command, now)
      case 'acquire-first':
        return this.#acquireFirst(command, now)
      case 'guard': {
        const found = this.#own(command.target, command.presented, command.holder)
        if (!('owner' in found)) return found
        const late = this.#isExpired(found.owner, now)
        if (!late) return this.#yes([found.key])
        this.#beatOn('renew', found.owner, null, now)
        return this.#yes([...found.owner.ids.keys()], { late })
      }
      case 'confirm':
        return this.#confirm(command, now)
      case 'renew':
      case 'heartbeat':
        return this.#beat(command, now)
      case 'release':
        return this.#release(command)
      case 'transfer': {
        if (command.ttlSecs !== null && !possible(command.ttlSecs)) return no('bad-ttl')
        const found = this.#own(command.target, command.presented, command.holder)
        if (!('owner' in found)) return found
        const { owner } = found
        if (owner.pending) return no('pending')
        if (same(owner.holder, command.to)) return no('same-holder')
        if (this.#wouldCollide(owner, command.to)) return no('held')
        const ttl = command.ttlSecs ?? owner.ttl
        const over = ttl === 0 ? this.#overLimit(command.to.agentId, owner.ids.size, new Set([owner])) : null
        if (over !== null) return no(over)
        return this.#handOver('transfer', owner, command.to, command.leaseId, ttl, now, null, command.reason)
      }
      case 'resume': {
        const found = this.#find(command.target, null)
        if (!('owner' in found)) return found
        const { owner } = found
        if (owner.pending) return no('pending')
        if (!sameAgent(owner.holder, command.holder)) return no('held')
        if (same(owner.holder, command.holder) && !this.#isDead(owner)) return this.#yes([...owner.ids.keys()], { alreadyHeld: true })
        return this.#handOver('resume', owner, command.holder, null, owner.ttl, now, command.binding?.live ?? null, owner.reason)
      }
      case 'reclaim': {
        const found = this.#find(command.target, command.token)
        if (!('owner' in found)) return found
        const { owner } = found
        if (!(owner.ttl === 0 && now - owner.beat >= this.#policy.staleSecs * 1000)) return no('not-stale')
        if (owner.token !== command.token) return no('superseded')
        if (command.reason === null) return no('reason-required')
        if (this.#wouldCollide(owner, command.holder)) return no('held')
        if (this.#overLimit(command.holder.agentId, owner.ids.size, new Set([owner])) !== null) return no('limit')
        return this.#handOver('reclaim', owner, command.holder, command.leaseId, 0, now, null, command.reason)
      }
      case 'force-evict': {
        if (command.reason.trim() === '') return no('reason-required')
        const found = this.#find(command.target, command.token)
        if (!('owner' in found)) return found
        if (command.token !== null && command.token !== found.owner.token) return no('superseded')
        const keys = [...found.owner.ids.keys()]
        this.#end(found.owner, keys, 'force-evict')
        return this.#yes(keys)
      }
      // Launches and their sessions have tests of their own, and are not part of these histories.
      case 'launch':
      case 'depart':
      case 'hold-session':
      case 'resume-session':
      case 'end-session':
      case 'tell-session':
        throw new Error(`the model does not know ${command.type}`)
      case 'allow':
        if (command.reason.trim() === '') return no('reason-required')
        this.#write('allow', [command.resource], command.token)
        return this.#yes([])
      case 'sweep': {
        const owners = command.resource === null ? [...this.owners.values()] : [this.owners.get(command.resource)]
        for (const owner of new Set(owners)) {
          if (owner !== undefined && this.#over(owner, now) === true) this.#end(owner, [...owner.ids.keys()], 'auto-evict')
        }
        return this.#yes([])
      }
    }
  }

  #acquire(command: Acquire, now: number): Answer {
    if (command.resources.length > 32) return no('too-many')
    const { ttlSecs } = command
    if (command.type === 'reserve' && !(ttlSecs !== null && ttlSecs > 0 && ttlSecs <= 60)) return no('bad-ttl')
    if (command.type === 'acquire' && ttlSecs !== null && !possible(ttlSecs)) return no('bad-ttl')
    const mine = new Set<Ownership>()
    const wanted: string[] = []
    const leaving = new Set<Ownership>()
    for (const key of command.resources) {
      const owner = this.owners.get(key)
      const { presented } = command
      const proven = owner !== undefined && presented.token === owner.token && [...owner.ids.values()].includes(presented.leaseId ?? '')
      const isMine = owner !== undefined && (same(owner.holder, command.holder) || proven) && !this.#isDead(owner)
      if (isMine) {
        if (owner.pending && command.type === 'acquire') return no('pending')
        if (!owner.pending && command.type === 'reserve') return no('held')
        if (owner.live !== null && command.binding !== null) return no('other-instance')
        mine.add(owner)
        continue
      }
      if (this.#isFinished(key) && command.finishedToo !== true) return no('finished')
      wanted.push(key)
      for (const other of this.#inTheWay(command.holder, key, owner)) {
        const over = this.#over(other, now)
        if (over === 'lapsing') return no('lapsing')
        if (!over) return no(!other.pending && other === owner && sameAgent(other.holder, command.holder) ? 'other-instance' : 'held')
        leaving.add(other)
      }
    }
    // What the caller keeps cannot leave in the same step.
    if ([...mine].some(owner => leaving.has(owner))) return no('held')
    const ttl = ttlSecs ?? this.#policy.ttlSecs
    const becoming = countOf([...mine].filter(owner => ttlSecs === 0 && owner.ttl !== 0)) + (ttl === 0 ? wanted.length : 0)
    if (becoming > 0) {
      const over = command.reason === null ? 'reason-required' : this.#overLimit(command.holder.agentId, becoming, leaving)
      if (over !== null) return no(over)
    }
    for (const owner of leaving) this.#end(owner, [...owner.ids.keys()], 'auto-evict')
    const late = [...mine].some(owner => this.#isExpired(owner, now))
    for (const owner of mine) this.#beatOn('renew', owner, ttlSecs, now)
    if (wanted.length > 0)
      this.#begin(command.type, wanted, command.holder, command.leaseId, ttl, now, command.binding?.live ?? null, command.reason)
    return this.#yes(command.resources, { alreadyHeld: wanted.length === 0, late })
  }

  #acquireFirst({ candidates, ...command }: AcquireFirst, now: number): Answer {
    for (const key of candidates) {
      const owner = this.owners.get(key)
      if (owner !== undefined && this.#over(owner, now) !== true) continue
      const answer = this.#acquire({ ...command, type: 'acquire', resources: [key] }, now)
      const next = answer.ok === false && ['held', 'lapsing', 'other-instance', 'pending', 'finished'].includes(answer.kind)
      if (!next) return answer
    }
    return no('none-free')
  }

  #isFinished(key: string): boolean {
    return ['done', 'closed'].includes(this.ended.get(key)?.outcome ?? '')
  }

  *#inTheWay(holder: Holder, key: string, owner: Ownership | undefined): Generator<Ownership> {
    if (owner !== undefined) yield owner
    for (const [other, theirs] of this.owners) if (other !== key && !same(theirs.holder, holder) && this.#overlap(other, key)) yield theirs
  }

  /** Would `to`, with this ownership, share paths with somebody else's? */
  #wouldCollide(owner: Ownership, to: Holder): boolean {
    return [...owner.ids.keys()].some(key => [...this.#inTheWay(to, key, undefined)].some(other => other !== owner))
  }

  #confirm(command: Confirm, now: number): Answer {
    if (command.ttlSecs !== null && !possible(command.ttlSecs)) return no('bad-ttl')
    const found = this.#find(command.target, command.token)
    if (!('owner' in found)) return found
    const { owner } = found
    if (owner.token !== command.token) return no('superseded')
    if (!owner.pending) return no('not-pending')
    if (this.#wouldCollide(owner, command.holder)) return no('held')
    const ttl = command.ttlSecs ?? this.#policy.ttlSecs
    if (ttl === 0) {
      const over = owner.reason === null ? 'reason-required' : this.#overLimit(command.holder.agentId, owner.ids.size, new Set())
      if (over !== null) return no(over)
    }
    return this.#handOver('confirm', owner, command.holder, command.leaseId, ttl, now, command.binding?.live ?? null, owner.reason)
  }

  #beat(command: Beat, now: number): Answer {
    if (command.ttlSecs !== null && !possible(command.ttlSecs)) return no('bad-ttl')
    const found = this.#own(command.target, command.presented, command.holder)
    if (!('owner' in found)) return found
    const { owner } = found
    if (command.ttlSecs === 0 && owner.pending) return no('bad-ttl')
    if (command.ttlSecs === 0 && owner.ttl !== 0) {
      const over = command.reason === null ? 'reason-required' : this.#overLimit(owner.holder.agentId, owner.ids.size, new Set())
      if (over !== null) return no(over)
    }
    const late = this.#isExpired(owner, now)
    this.#beatOn(command.type, owner, command.ttlSecs, now)
    return this.#yes([...owner.ids.keys()], { late })
  }

  #release(command: Release): Answer {
    const found = this.#own(command.target, command.presented, command.holder)
    if (!('owner' in found)) {
      if (!('resource' in command.target) || this.owners.has(command.target.resource)) return found
      const last = this.ended.get(command.target.resource)
      const { leaseId, token } = command.presented
      const its = last?.how === 'release' && (token === null || token === last.token) && (leaseId === null || leaseId === last.id)
      const repeats = its && (same(command.holder, last.holder) || (leaseId !== null && token !== null))
      return repeats ? this.#yes([command.target.resource]) : found
    }
    const keys = command.only ? [found.key] : [...found.owner.ids.keys()]
    this.#end(found.owner, keys, 'release', command.outcome)
    return this.#yes(keys)
  }

  // ── what the commands share ──

  #find(target: Target, token: number | null, leaseId: string | null = null): { owner: Ownership; key: string } | Answer {
    for (const [key, owner] of this.owners) {
      if ('resource' in target ? key === target.resource : owner.ids.get(key) === target.leaseId) return { owner, key }
    }
    if ('leaseId' in target) return no('unknown-lease')
    return no(token === null && leaseId === null ? 'not-held' : 'superseded')
  }

  #own(target: Target, shown: Presented, who: Holder): { owner: Ownership; key: string } | Answer {
    const found = this.#find(target, shown.token, shown.leaseId)
    if (!('owner' in found)) return found
    const { owner, key } = found
    const leaseId = 'leaseId' in target ? target.leaseId : shown.leaseId
    if (shown.token !== null && shown.token !== owner.token) return no('superseded')
    if (leaseId !== null && leaseId !== owner.ids.get(key)) return no('superseded')
    if (leaseId !== null && shown.token !== null) return found
    return same(who, owner.holder) ? found : no('not-owner')
  }

  #isDead(owner: Ownership): boolean {
    return owner.live !== null && this.dead.has(owner.live)
  }

  #isExpired(owner: Ownership, now: number): boolean {
    const deadline = this.deadline(owner)
    return deadline !== null && now >= deadline
  }

  /** May it be evicted? Asking is what starts the guard. */
  #over(owner: Ownership, now: number): boolean | 'lapsing' {
    if (this.#isDead(owner)) return true
    if (!this.#isExpired(owner, now)) return false
    if (this.#guardMs === 0) return true
    const since = this.#suspected.get(owner) ?? now
    this.#suspected.set(owner, since)
    return now < since + this.#guardMs ? 'lapsing' : true
  }

  #overLimit(agentId: string, adding: number, without: ReadonlySet<Ownership>): 'limit' | null {
    const standing = [...new Set(this.owners.values())].filter(owner => owner.ttl === 0 && !without.has(owner))
    const own = standing.filter(owner => owner.holder.agentId === agentId)
    const fits =
      countOf(own) + adding <= this.#policy.maxIndefinitePerAgent && countOf(standing) + adding <= this.#policy.maxIndefinitePerRepo
    return fits ? null : 'limit'
  }

  #beatOn(op: 'renew' | 'heartbeat', owner: Ownership, ttl: number | null, now: number): void {
    this.#write(op, [...owner.ids.keys()], owner.token)
    owner.beat = now
    owner.ttl = ttl ?? owner.ttl
    this.#suspected.delete(owner)
  }

  #begin(
    op: 'acquire' | 'reserve' | 'confirm' | 'transfer' | 'resume' | 'reclaim',
    keys: readonly string[],
    holder: Holder,
    ids: string | ReadonlyMap<string, string>,
    ttl: number,
    now: number,
    live: string | null,
    reason: string | null,
  ): void {
    const named = typeof ids === 'string' ? new Map(keys.map((key, index) => [key, later(ids, index)])) : new Map(ids)
    const owner: Ownership = { token: this.seq + 1, ids: named, holder, pending: op === 'reserve', ttl, beat: now, live, reason }
    this.#write(op, keys, owner.token)
    for (const key of keys) this.owners.set(key, owner)
  }

  #handOver(
    op: 'confirm' | 'transfer' | 'resume' | 'reclaim',
    owner: Ownership,
    to: Holder,
    leaseId: string | null,
    ttl: number,
    now: number,
    live: string | null,
    reason: string | null,
  ): Answer {
    const keys = [...owner.ids.keys()]
    if (op !== 'resume') for (const key of keys) this.#remember(owner, key, op, null)
    this.#begin(op, keys, to, leaseId ?? owner.ids, ttl, now, live, reason)
    return this.#yes(keys)
  }

  #remember(owner: Ownership, key: string, how: string, outcome: string | null): void {
    const before = this.ended.get(key)?.outcome ?? null
    const stays = outcome === null && ['done', 'closed', 'reopened'].includes(before ?? '') ? before : null
    const said = key.startsWith('ticket:') ? outcome : null
    this.ended.set(key, { token: owner.token, id: owner.ids.get(key)!, holder: owner.holder, how, outcome: said ?? stays })
  }

  #end(owner: Ownership, keys: readonly string[], how: 'release' | 'auto-evict' | 'force-evict', outcome: string | null = null): void {
    this.#write(how, keys, owner.token)
    for (const key of keys) {
      this.#remember(owner, key, how, outcome)
      owner.ids.delete(key)
      this.owners.delete(key)
    }
    // A renewal and a split both are signs of life.
    this.#suspected.delete(owner)
  }

  #write(op: Operation['op'], keys: readonly string[], token: number): void {
    this.seq++
    this.#records.push({ op, keys, token })
  }

  #yes(keys: readonly string[], more: { alreadyHeld?: boolean; late?: boolean } = {}): Answer {
    return { ok: true, records: this.#records, keys, alreadyHeld: more.alreadyHeld ?? false, late: more.late ?? false, replay: false }
  }
}

/** The id `steps` later, by plain arithmetic. */
function later(id: string, steps: number): string {
  const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
  let value = [...id].reduce((sum, symbol) => sum * 32n + BigInt(alphabet.indexOf(symbol)), 0n) + BigInt(steps)
  let text = ''
  for (let i = 0; i < 26; i++, value /= 32n) text = alphabet[Number(value % 32n)]! + text
  return text
}
