import { randomUUID } from 'node:crypto'
import { Fault, usage } from '../../core/fault.ts'
import type { Holder, Lease, Slot } from '../../core/lease.ts'
import type { Entry, Operation } from '../../core/operation.ts'
import { touches } from '../../core/operation.ts'
import { isUlid } from '../../core/ulid.ts'
import { leaseFromStored, leaseToStored, pastFromStored, pastToStored, sessionFromWire, sessionToWire } from '../../core/wire.ts'
import type { Base, MoveEnd, MoveMark, Moving, Standing } from '../move.ts'
import { emptyBase, stateOf, uncountedReason } from '../base.ts'
import type { FullState } from '../state.ts'
import { keysOfBase, withDropped } from './earlier.ts'
import { Facts, noWants } from './facts.ts'
import { fetchFacts } from './fetch.ts'
import { codes, isEngineError, overCompactions } from './gateway.ts'
import { historyOf } from './history.ts'
import { prefixEnd } from './keys.ts'
import { RealLeases } from './leases.ts'
import { between, only, pairsOf, put, toBytes, unchanged } from './messages.ts'
import type { Pair, RangeAnswer, Step } from './messages.ts'
import type { EtcdStore } from './store.ts'
import { positionOf } from './positions.ts'
import { realTiming } from './timing.ts'
import { sentTwice, writeSettings } from './settings.ts'
import { countedToValue, headToValue, logToValue, settingsFromValue } from './values.ts'
import type { SpaceSettings } from './values.ts'

/** Version of the layout that a space which begins with a move is written in. */
const layoutVersion = 2

/** Most writes, and most bytes of them, in one transaction: etcd takes 128 and 1.5 MB. */
const [maxWrites, maxBytes] = [120, 700_000]

/** Engine leases that are made at the same time. */
const maxBeats = 32

/** Seconds that the engine lease of moved op_ids lasts, and milliseconds that they are remembered at all. */
const [memorySecs, rememberedMs] = [86_400, 86_400_000]

/** Where records are kept that are about no key. No key is called so: there is a colon in each. */
const wholeStore = 'store'

/** A space in etcd as an end of a move. */
export function etcdEnd(store: EtcdStore): MoveEnd {
  const space = new Space(store)
  return {
    standing: () => space.standing(),
    freeze: async to => space.mark({ to, done: false }, await space.begun()),
    read: () => space.read(),
    seal: async to => space.mark({ to, done: true }),
    thaw: () => space.mark(null),
    receive: (moving, from) => space.receive(moving, from),
    open: () => space.mark(null),
  }
}

/** The settings of a space, and the revision of their last write. */
interface Known {
  readonly settings: SpaceSettings | null
  readonly mod: number
}

class Space {
  readonly #store: EtcdStore

  constructor(store: EtcdStore) {
    this.#store = store
  }

  async standing(): Promise<Standing> {
    const { settings } = await this.#settings()
    if (settings === null) return { kind: 'nothing' }
    const { space, move } = settings
    if (move?.to !== undefined) return { kind: 'leaving', space, to: move.to, done: move.done === true }
    return move?.from === undefined ? { kind: 'in-use', space } : { kind: 'arriving', space, from: move.from }
  }

  /** Settings to be marked, also where nobody has ever written. */
  async begun(): Promise<Known> {
    const known = await this.#settings()
    const limits = { max_indefinite_leases_per_agent: 2, max_indefinite_leases_per_repo: 10 }
    return { ...known, settings: known.settings ?? { space: randomUUID(), tokenBase: 0, minWriter: layoutVersion, limits } }
  }

  async mark(move: MoveMark | null, known?: Known): Promise<void> {
    const { settings, mod } = known ?? (await this.#settings())
    const { move: _, ...rest } = settings!
    await this.#settle(move === null ? rest : { ...rest, move }, mod)
  }

  async read(): Promise<Moving> {
    const { gateway, names } = this.#store
    const wants = noWants()
    wants.all = true
    const facts = await overCompactions(async () => {
      const read = new Facts({ b: 'etcd', m: Date.now(), wall: Date.now() }, realTiming, wants)
      await fetchFacts(gateway, names, read, this.#store.location)
      return read
    })
    const { space, limits } = facts.settings!
    const entries: Entry[] = []
    for await (const entry of historyOf(gateway, names, {}, 0)) entries.push(entry)
    const alive = new Set<string>()
    const bound: string[] = []
    for (const [resource, { head, beat }] of facts.claims) {
      const { lease } = head.slot
      if (lease === null) continue
      if ((lease.binding !== null || lease.state === 'pending') && beat !== null) bound.push(resource)
      if (lease.ttlSecs === 0 ? lease.staleSecs === 0 || beat !== null : beat !== null) alive.add(resource)
    }
    const lastSeq = Math.max(positionOf(facts.base, facts.revision), entries.at(-1)?.seq ?? 0)
    return { space, limits, lastSeq, ...withDropped({ base: await this.#base(), entries }, facts.claims), alive, bound }
  }

  /** Each transaction compares the settings: whoever was overtaken by another mover writes no more. */
  async receive(moving: Moving, from: string): Promise<void> {
    const { location } = this.#store
    const found = await this.#settings()
    if (found.settings !== null && found.settings.move === undefined)
      throw usage(`${location} has leases of its own`, 'two sets of leases cannot become one')
    const { space, limits, lastSeq } = moving
    const settings: SpaceSettings = { space, limits, tokenBase: lastSeq, minWriter: layoutVersion, move: { from } }
    const mod = await this.#settle(settings, found.mod, this.#emptied())
    const beats: Beat[] = []
    let steps: Step[] = []
    let bytes = 0
    for (const step of await this.#stepsOf(moving, beats)) {
      const size = 'request_put' in step ? step.request_put.value.length : 0
      if (steps.length >= maxWrites || (steps.length > 0 && bytes + size > maxBytes)) {
        // oxlint-disable-next-line no-await-in-loop -- in the order of the records
        await this.#write(steps, mod)
        ;[steps, bytes] = [[], 0]
      }
      steps.push(step)
      bytes += size
    }
    if (steps.length > 0) await this.#write(steps, mod)
    await this.#writeBeats(beats, mod)
  }

  /** Last of all, and those that last longest first: their time begins here, and not before everything else was written. */
  async #writeBeats(beats: readonly Beat[], mod: number): Promise<void> {
    const sorted = beats.toSorted((a, b) => b.secs - a.secs)
    // oxlint-disable-next-line no-await-in-loop -- one part after the other
    for (let at = 0; at < sorted.length; at += maxBeats) await this.#writeSome(sorted.slice(at, at + maxBeats), mod)
  }

  async #writeSome(beats: readonly Beat[], mod: number, tries = 3): Promise<void> {
    const engine = new RealLeases(this.#store.gateway)
    const lengths = new Map(beats.map(({ id, secs }) => [id, secs]))
    await Promise.all([...lengths].map(([id, secs]) => engine.keep(id, secs)))
    try {
      await this.#write(
        beats.map(({ resource, id }) => put(this.#store.names.beat(resource), '1', id)),
        mod,
      )
    } catch (error) {
      // One of them is over already: this process stood still for so long.
      if (tries === 1 || !isEngineError(error, codes.notFound)) throw error
      await this.#writeSome(beats, mod, tries - 1)
    }
  }

  /** Everything below the space but its settings. */
  #emptied(): readonly Step[] {
    const { root, claims, ids, logs, paths, limits } = this.#store.names
    const prefixes = [claims, ids, logs, `${root}o/`, `${root}base/`].map(prefix => ({
      key: toBytes(prefix),
      range_end: toBytes(prefixEnd(prefix)),
    }))
    return [...prefixes, { key: toBytes(paths) }, { key: toBytes(limits) }].map(range => ({ request_delete_range: range }))
  }

  async #stepsOf(moving: Moving, beats: Beat[]): Promise<readonly Step[]> {
    const { names } = this.#store
    const state = stateOf(moving.base)
    const numbers = new Map<string, number>()
    const steps: Step[] = [...this.#baseSteps(moving.base)]
    const told = moving.entries.filter(({ operation }) => operation.op !== 'repair' || operation.reason !== uncountedReason)
    const memory = told.some(isRemembered) ? await this.#engineLease(memorySecs) : null
    for (const [index, entry] of told.entries()) {
      state.apply(entry)
      for (const [copy, resource] of keysOf(entry.operation).entries()) {
        const n = (numbers.get(resource) ?? 0) + 1
        numbers.set(resource, n)
        steps.push(put(names.log(resource, n), logToValue({ entry, index, transaction: 'move', isCopy: copy > 0 }, 0)))
      }
      if (isRemembered(entry))
        steps.push(put(names.op(entry.operation.opId!), logToValue({ entry, index: 0, transaction: 'move', isCopy: false }, 0), memory!))
    }
    const shared = new Map<string, string>()
    const keys = new Set([...numbers.keys(), ...keysOfBase(moving.base)])
    keys.delete(wholeStore)
    for (const resource of keys) steps.push(this.#claim(resource, state.slot(resource), numbers.get(resource) ?? 0, moving, beats, shared))
    for (const lease of state.leases())
      if (lease.group === null || lease.group.id === lease.leaseId)
        steps.push(put(names.id(lease.leaseId), JSON.stringify(ownershipOf(lease, state))))
    if ([...state.paths()].length > 0) steps.push(put(names.paths, 'move'))
    steps.push(put(names.limits, countedToValue(state.indefinite(), 0)))
    return steps
  }

  /** One key as it is stored; its beat, if its holder was heard of, goes to `beats`. `shared`: ids of engine leases, by session and length. */
  #claim(resource: string, slot: Slot, n: number, { alive }: Moving, beats: Beat[], shared: Map<string, string>): Step {
    const { names } = this.#store
    const { lease } = slot
    const secs = lease === null || !alive.has(resource) ? null : realTiming.engineSecs(lease)
    let engineLease: string | null = null
    if (lease !== null && secs !== null) {
      const whose = sharers(lease.holder, secs, lease)
      engineLease = shared.get(whose) ?? newId()
      shared.set(whose, engineLease)
      beats.push({ resource, id: engineLease, secs })
    }
    return put(names.head(resource), headToValue({ slot, n, logFrom: 1, engineLease, suspect: null }, 0))
  }

  #engineLease(secs: number): Promise<string> {
    return new RealLeases(this.#store.gateway).ensure(null, secs)
  }

  // ── the state before the first record: only a move brings one ──

  *#baseSteps({ seq, clocks, leases, pasts, sessions }: Base): Generator<Step> {
    if (seq === 0 && leases.length + pasts.length + sessions.length === 0) return
    const { root } = this.#store.names
    let number = 0
    const name = (): string => `${root}base/${String(number++).padStart(9, '0')}`
    yield put(name(), JSON.stringify({ seq, clocks }))
    for (const lease of leases) yield put(name(), JSON.stringify({ lease: leaseToStored(lease) }))
    for (const past of pasts) yield put(name(), JSON.stringify({ past: pastToStored(past) }))
    for (const session of sessions) yield put(name(), JSON.stringify({ session: sessionToWire(session) }))
  }

  async #base(): Promise<Base> {
    const base = { ...emptyBase, leases: [...emptyBase.leases], pasts: [...emptyBase.pasts], sessions: [...emptyBase.sessions] }
    for (const { value } of await this.#all(`${this.#store.names.root}base/`)) {
      const { lease, past, session, ...rest } = JSON.parse(value)
      if (lease !== undefined) base.leases.push(leaseFromStored(lease))
      else if (past !== undefined) base.pasts.push(pastFromStored(past))
      else if (session !== undefined) base.sessions.push(sessionFromWire(session))
      else Object.assign(base, rest)
    }
    return base
  }

  async #all(prefix: string): Promise<readonly Pair[]> {
    const found: Pair[] = []
    for (let from = prefix; ;) {
      // oxlint-disable-next-line no-await-in-loop -- one page after the other
      const { body } = await this.#store.gateway.call<RangeAnswer>('/v3/kv/range', { ...between(from, prefixEnd(prefix)), limit: '2000' })
      const pairs = pairsOf(body)
      found.push(...pairs)
      if (body.more !== true) return found
      from = `${pairs.at(-1)!.name}\0`
    }
  }

  // ── the settings ──

  async #settings(): Promise<Known> {
    const { gateway, names, location } = this.#store
    const { body } = await gateway.call<RangeAnswer>('/v3/kv/range', only(names.cfg))
    const [pair] = pairsOf(body)
    return pair === undefined ? { settings: null, mod: 0 } : { settings: settingsFromValue(pair.value, location), mod: pair.mod }
  }

  /** Writes the settings, and `more` with them, if they are as they were read; resolves to the revision. */
  async #settle(settings: SpaceSettings, mod: number, more: readonly Step[] = []): Promise<number> {
    const written = await writeSettings(this.#store, settings, mod, more)
    if (written === null) throw overtaken(this.#store)
    return written
  }

  /** Writes if the settings are as they were read. What was written and not answered may be written again. */
  async #write(steps: readonly Step[], mod: number): Promise<void> {
    const { gateway, names } = this.#store
    const request = { compare: [unchanged(names.cfg, mod)], success: steps }
    if ((await sentTwice(gateway, request)).succeeded !== true) throw overtaken(this.#store)
  }
}

const overtaken = ({ location }: EtcdStore): Fault =>
  new Fault('unavailable', `somebody else moves leases to or from ${location} at this moment`, {
    hint: 'let them finish, then give the command again: it goes on from where it was stopped',
    details: { outcome: 'unknown' },
  })

/** A sign of life that is to be written. */
interface Beat {
  readonly resource: string
  /** Of the engine lease that it is attached to. */
  readonly id: string
  readonly secs: number
}

/** An id for an engine lease that nobody else has: 60 bits, decimal. */
const newId = (): string => BigInt(`0x1${randomUUID().replaceAll('-', '').slice(0, 14)}`).toString()

/** An op_id that its caller chose and may ask with again. */
const isRemembered = ({ at, operation: { opId } }: Entry): boolean => opId !== null && !isUlid(opId) && at > Date.now() - rememberedMs

/** The keys under which a record is kept. */
function keysOf(operation: Operation): readonly string[] {
  const keys = new Set([...(touches(operation) ?? []), ...('resources' in operation ? operation.resources : [])])
  return keys.size === 0 ? [wholeStore] : [...keys]
}

/** Holders whose claims share an engine lease; without a session each ownership has its own. */
const sharers = ({ agentId, worktreeId, sessionId }: Holder, secs: number, { token }: Lease): string =>
  JSON.stringify([agentId, worktreeId, sessionId ?? token, secs])

/** Lease ids and keys of one ownership. */
const ownershipOf = (lease: Lease, state: FullState): readonly (readonly [string, string])[] =>
  (lease.group?.resources ?? [lease.resource]).map(resource => [state.slot(resource).lease!.leaseId, resource])
