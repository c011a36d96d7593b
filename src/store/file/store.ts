import fs from 'node:fs'
import type { Decision } from '../../core/decision.ts'
import { Fault } from '../../core/fault.ts'
import type { Instant, Lease } from '../../core/lease.ts'
import type { Entry, Operation } from '../../core/operation.ts'
import { sessionKey } from '../../core/session.ts'
import type { View } from '../../core/view.ts'
import { readFully } from '../../host/disk.ts'
import { vitality } from '../../host/process.ts'
import { isRestorable } from '../restorable.ts'
import { refuseMoved } from '../moved.ts'
import { FullState } from '../state.ts'
import type { Capabilities, Commit, Decider, HistoryQuery, LiveLock, Reading, ReservationLock, Store, TransactOptions } from '../store.ts'
import { viewOf } from '../view.ts'
import type { Format, Layout, Modes } from './directory.ts'
import {
  accessFault,
  lateFault,
  isEmpty,
  layoutOf,
  logMissing,
  lookAt,
  modesOf,
  readFlags,
  readFormat,
  readMove,
  copyFault,
  refuseNewerFormat,
  refuseStrangeDirectory,
  removeIfPresent,
  soundFormat,
} from './directory.ts'
import { Exclusive } from './exclusive.ts'
import { historyOf } from './history.ts'
import { allReservations, hasReservations, makeReservation, reservationOf } from './reservation.ts'
import { isIndexDue, refreshIndex, updateIndex } from './index-file.ts'
import { freeLocks } from './leftovers.ts'
import { isBoundDead, lifeOf, makeLiveLock, removeLiveFile } from './live-lock.ts'
import type { Loaded } from './load.ts'
import { load, recall } from './load.ts'
import { refuseAbsent } from './noted.ts'
import { OpenLog, limitsFault } from './open-log.ts'
import type { FileStoreOptions } from './options.ts'
import { damageFault, refuseCutShort } from './repair.ts'
import { Session, bootOperation, isPoisoned, poison, settled, syncFault } from './session.ts'
import { changeIn } from './watch.ts'

/** Work that needs the store to itself. */
interface Maintenance {
  readonly label: string
  readonly alone: () => void
  readonly reject: (error: unknown) => void
}

interface Request {
  readonly decide: Decider
  readonly options: TransactOptions
  readonly resolve: (commit: Commit) => void
  readonly reject: (error: unknown) => void
}

/** A request that was decided and is waiting for its records to be durable. */
interface Decided {
  readonly request: Request
  readonly decision: Decision
  readonly now: Instant
  readonly entries: readonly Entry[]
  readonly leases: readonly Lease[]
  readonly live: LiveLock | null
  readonly reservation: ReservationLock | null
  readonly lastSeq: number
  /** Records of the batch up to and including this request's. */
  readonly recordsUntil: number
}

/** The log as a batch left it. */
interface Written {
  readonly loaded: Loaded
  /** All of its bytes, verified, where they were at hand and the index is due. */
  readonly bytes: Buffer | null
}

/** How often a process that stays makes the index anew, milliseconds. */
const residentIndexMs = 1000

/** It works this many times as long as that takes, before it does so again: only others need the index. */
const residentIndexShare = 20

/** Requests that share one lock, one write and one sync; bounds how long the lock is held. */
const maxBatch = 512

/**
 * Leases in files below the Git directory: one kernel lock, one append-only log that is the only truth. Records are appended under the
 * lock and synced after it, and only then acknowledged; since all of them are in one file, a later sync covers every earlier byte.
 * Requests of one process that wait at the same time share one lock, one write and one sync (group commit, as databases do).
 */
export class FileStore implements Store {
  readonly capabilities: Capabilities = {
    reservation: 'kernel-lock',
    durable: true,
    shared: true,
    binding: true,
    gapless: true,
    beats: 'record',
  }
  readonly location: string
  readonly layout: Layout
  readonly modes: Modes
  readonly options: FileStoreOptions
  /** What a person should be told: a repair that was made, a second clock. Filled as it happens. */
  readonly warnings: string[] = []
  readonly #exclusive: Exclusive
  #queue: (Request | Maintenance)[] = []
  #pumping = false
  #indexAgainAt = residentIndexMs
  readonly #log: OpenLog

  constructor(options: FileStoreOptions) {
    this.options = options
    this.location = `file:${options.directory}`
    this.layout = layoutOf(options.directory)
    this.modes = modesOf(options.shared)
    this.#exclusive = new Exclusive(options.disk, options.lock, this.layout, this.modes, options.lockWaitMs, options.resident)
    this.#log = new OpenLog(options, this, text => void this.warnings.push(text))
  }

  ready(): void {
    this.options.lock.load?.()
  }

  transact(decide: Decider, options: TransactOptions = {}): Promise<Commit> {
    return new Promise((resolve, reject) => this.#enqueue({ decide, options, resolve, reject }))
  }

  // oxlint-disable-next-line typescript/require-await -- the interface is asynchronous, reading files is not
  async view(about?: readonly string[]): Promise<Reading> {
    const now = this.options.clock.now()
    try {
      const { loaded, doubt, otherLimits } = this.#read(about)
      const warnings = [
        ...this.warnings,
        ...[doubt, otherLimits].flatMap(fault => (fault === null ? [] : [`${fault.message}; ${fault.hint}`])),
      ]
      if (loaded === null) return { ...this.#viewOf(new FullState(), now, null, () => null), warnings }
      if (loaded.foreign !== null)
        warnings.push(`the log contains records of a newer Leasehold (${loaded.foreign.op}); they are not understood here`)
      const { state } = loaded
      const boot = bootOperation(state.clocks, now)
      if (boot?.twoClocks === true) warnings.push(twoClocksWarning)
      // A reader judges by the deadlines that the next writer will record.
      if (boot !== null) state.apply({ seq: state.lastSeq, at: now.wall, clk: { b: now.b, m: now.m }, operation: boot })
      const bytes = loaded.bytes
      const view = this.#viewOf(state, settled(now, state.clocks), null, opId => (bytes === null ? null : recall(bytes, opId)))
      return { ...view, warnings, ...(doubt === null ? {} : { doubt }) }
    } catch (error) {
      throw accessFault(error, this.layout.directory)
    }
  }

  history(query: HistoryQuery = {}): AsyncGenerator<Entry> {
    this.refuseAbsent()
    return historyOf(this.options.disk, this.layout, query)
  }

  async changed(sinceSeq: number, timeoutMs: number): Promise<void> {
    // A log that is gone is a change as well.
    const hasChanged = (): boolean => {
      const seq = this.#read().loaded?.position.seq ?? 0
      return seq > sinceSeq || (seq === 0 && sinceSeq > 0)
    }
    await changeIn(this.layout, hasChanged, timeoutMs)
  }

  /** Throws `unavailable` where the leases that the repository uses are not here. Reads nothing where it is not known which those are. */
  refuseAbsent(): void {
    const { disk, noted } = this.options
    if (noted === undefined) return
    const format = soundFormat(disk, this.layout)
    if (format !== null) refuseAbsent(noted, this.layout, format.space)
    else if (isEmpty(disk, this.layout)) refuseAbsent(noted, this.layout, null)
  }

  close(): void {
    this.#exclusive.close()
    this.#log.forget()
  }

  /** Runs `work` under the store's lock on the open log, after the usual checks and repairs. */
  exclusively<T>(label: string, work: (fd: number, loaded: Loaded, now: Instant) => T): Promise<T> {
    return this.lockedOnly(label, () => {
      const { fd, loaded, now } = this.#log.open()
      return work(fd, loaded, now)
    })
  }

  /** Runs `work` under the store's lock without looking at the log first; for recovery. */
  lockedOnly<T>(label: string, work: () => T): Promise<T> {
    return new Promise((resolve, reject) => this.#enqueue({ label, alone: () => resolve(work()), reject }))
  }

  // ── reading ──

  /** The log as it is, without any lock; null when there is no store yet. */
  #read(about?: readonly string[]): { readonly loaded: Loaded | null; readonly doubt: Fault | null; readonly otherLimits: Fault | null } {
    const { disk, noted } = this.options
    const stat = lookAt(disk, this.layout.directory)
    if (stat === null) {
      refuseAbsent(noted, this.layout, null)
      return { loaded: null, doubt: null, otherLimits: null }
    }
    refuseStrangeDirectory(disk, this.layout.directory, stat)
    const format = readFormat(disk, this.layout)
    if (format !== null) refuseNewerFormat(format, false)
    refuseMoved(format === null ? readMove(disk, this.layout) : format.move, this.location, false)
    if (format !== null) refuseAbsent(noted, this.layout, format.space)
    const doubt = format === null ? null : copyFault(format, this.layout, stat)
    const otherLimits = format === null ? null : limitsFault(format, this.options, this.layout)
    for (let attempt = 0; ; attempt++) {
      const loaded = this.#readOnce(format, about)
      if (format === null) refuseAbsent(noted, this.layout, loaded?.space ?? null)
      if (loaded === null || (loaded.damage === null && loaded.lost === null)) return { loaded, doubt, otherLimits }
      // The last line may be one that is being written, and the index newer than our look at the log; a short while later all is whole.
      if (loaded.damage !== null && (attempt === 3 || loaded.damage.intactAfter > 0)) throw damageFault(this.layout, loaded.damage)
      if (attempt === 3) {
        refuseCutShort(loaded, this.layout, this.options.clock.now())
        return { loaded, doubt, otherLimits }
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
    }
  }

  #readOnce(format: Format | null, about: readonly string[] | undefined): Loaded | null {
    const { disk } = this.options
    let fd: number
    try {
      fd = disk.openSync(this.layout.log, readFlags)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      if (format === null) return null
      throw logMissing(this.layout)
    }
    try {
      return load(disk, fd, this.layout, about)
    } finally {
      disk.closeSync(fd)
    }
  }

  #viewOf(
    state: Loaded['state'],
    now: Instant,
    format: Format | null,
    remembered: (opId: string) => Entry | null,
    mayBeReserved = true,
  ): View {
    const { disk, lock } = this.options
    const dead = new Map<string, boolean>()
    return viewOf(state, now, {
      recall: remembered,
      boundDead: lease => {
        const live = lease.binding?.live
        if (live === undefined) return false
        if (!dead.has(live)) dead.set(live, isBoundDead(disk, lock, this.layout, lease))
        return dead.get(live)!
      },
      reservation: resource => (mayBeReserved ? this.#looking(() => reservationOf(disk, lock, this.layout, resource)) : null),
      reservations: () => this.#looking(() => (lookAt(disk, this.layout.locks) === null ? [] : allReservations(disk, lock, this.layout))),
      life: ({ binding, witness }) =>
        binding !== null ? lifeOf(disk, lock, this.layout, binding, witness) : witness === null ? 'unknown' : vitality(witness),
      restorable: isRestorable,
      limits:
        format === null
          ? null
          : {
              maxIndefinitePerAgent: format.limits.max_indefinite_leases_per_agent,
              maxIndefinitePerRepo: format.limits.max_indefinite_leases_per_repo,
            },
    })
  }

  /** What a view is asked later than it was made. */
  #looking<T>(look: () => T): T {
    try {
      return look()
    } catch (error) {
      throw accessFault(error, this.layout.directory)
    }
  }

  // ── writing ──

  #enqueue(item: Request | Maintenance): void {
    this.#queue.push(item)
    if (this.#pumping) return
    this.#pumping = true
    // After the other callers of this turn of the event loop have come too. `queueMicrotask` would load Node's tracking of resources.
    void Promise.resolve().then(() => this.#pump())
  }

  async #pump(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch()
      try {
        // oxlint-disable-next-line no-await-in-loop -- one batch after the other is the point
        await ('alone' in batch ? this.#runAlone(batch) : this.#commit(batch))
      } catch (error) {
        const fault = accessFault(error, this.layout.directory)
        for (const { reject } of 'alone' in batch ? [batch] : batch) reject(fault)
      }
    }
    this.#pumping = false
  }

  #nextBatch(): Maintenance | readonly Request[] {
    const [first] = this.#queue
    if (first !== undefined && 'alone' in first) {
      this.#queue.shift()
      return first
    }
    // An effect is not undone when the records before it in the batch do not arrive, so nothing goes before it.
    if (first !== undefined && first.options.effect !== undefined) return [this.#queue.shift() as Request]
    const next = this.#queue.findIndex(item => 'alone' in item || item.options.effect !== undefined)
    return this.#queue.splice(0, Math.min(maxBatch, next < 0 ? maxBatch : next)) as Request[]
  }

  async #runAlone({ label, alone }: Maintenance): Promise<void> {
    this.#log.enter()
    await this.#exclusive.take(label)
    try {
      alone()
    } finally {
      this.#log.forget()
      this.#exclusive.release()
    }
  }

  async #commit(batch: readonly Request[]): Promise<void> {
    this.#log.enter()
    const label = batch[0]!.options.label ?? 'transact'
    if (!this.#exclusive.takeNow(label)) await this.#exclusive.take(label)
    let fd: number
    let decided: readonly Decided[]
    let after: Written | null
    try {
      ;({ fd, decided, after } = this.#decideAll(batch))
    } catch (error) {
      this.#log.forget()
      throw error
    } finally {
      this.#exclusive.release()
    }
    try {
      // A refusal promises nothing, so only a "yes" has to be durable; also one that found its record already there. Alone, waiting here
      // costs less than a trip through the thread pool; in company, others can queue up meanwhile.
      if (decided.length === 1) this.#syncNow(fd, decided[0]!)
      else if (decided.some(({ decision }) => decision.ok)) await this.#sync(fd)
    } catch (error) {
      this.#log.forget()
      for (const each of decided) letGo(each)
      throw lateFault(error)
    }
    for (const { request, recordsUntil: _, ...commit } of decided) request.resolve(commit)
    this.#afterwards(fd, after)
  }

  /** Under the lock: read what is new, decide every request in turn, write all records at once. */
  #decideAll(batch: readonly Request[]): { readonly fd: number; readonly decided: readonly Decided[]; readonly after: Written | null } {
    const { fd, loaded, now, format } = this.#log.open()
    const session = new Session(this.options.disk, this.layout, fd, loaded)
    const boot = bootOperation(loaded.state.clocks, now)
    if (boot !== null) session.append(boot, now)
    if (boot?.twoClocks === true) this.warnings.push(twoClocksWarning)
    const decided = this.#decideEach(batch, session, now, format)
    const { arrived, end, error } = this.#write(session, decided)
    const written = decided.filter(each => each.recordsUntil <= arrived)
    for (const each of decided) if (each.recordsUntil > arrived) this.#undo(each, error)
    for (const each of written) this.#dropEnded(each, session.loaded.state)
    const reserving = written.filter(({ reservation }) => reservation !== null)
    if (reserving.length > 0) this.#tidyLocks(session.loaded.state, now, filesOf(reserving))
    const after: Loaded = {
      ...loaded,
      position: session.position,
      end,
      size: end,
      tornBytes: 0,
      behindIndex: loaded.behindIndex + end - loaded.end,
      bytes: null,
      fold: null,
    }
    this.#log.keep(error === null && this.options.resident ? after : null)
    const whole = loaded.bytes !== null && error === null && isIndexDue(after)
    return {
      fd,
      decided: written,
      // What did not arrive is in the state already, and may get into no index.
      after:
        error !== null
          ? null
          : { loaded: after, bytes: whole ? Buffer.concat([loaded.bytes.subarray(0, loaded.end), session.bytes()]) : null },
    }
  }

  #decideEach(batch: readonly Request[], session: Session, now: Instant, format: Format): readonly Decided[] {
    // One look at the directory costs as much as two at files. Who reserves in this batch is seen by those behind it.
    const mayBeReserved =
      batch.length <= 2 || batch.some(({ options }) => options.reserve !== undefined) || hasReservations(this.options.disk, this.layout)
    return batch.map(request => this.#decideOne(request, session, now, format, mayBeReserved)).filter(each => each !== null)
  }

  #write(session: Session, decided: readonly Decided[]): ReturnType<Session['write']> {
    if (session.pending === 0) return { arrived: 0, end: session.loaded.end, error: null }
    try {
      return session.write()
    } catch (error) {
      for (const each of decided) letGo(each)
      throw lateFault(error)
    }
  }

  #decideOne(request: Request, session: Session, now: Instant, format: Format, mayBeReserved: boolean): Decided | null {
    const { disk, lock } = this.options
    let live: LiveLock | null = null
    let reservation: ReservationLock | null = null
    const { reserve, unreserve } = request.options
    try {
      if (unreserve?.isCurrent() === false) throw reservationLost(unreserve)
      live = request.options.bind === true ? makeLiveLock(disk, lock, this.layout, this.modes) : null
      const recalled = (opId: string): Entry | null => session.recall(opId) ?? this.#recall(session, opId)
      const view = this.#viewOf(session.loaded.state, now, format, recalled, mayBeReserved)
      const decision = request.decide(view, live)
      if (decision.ok) request.options.effect?.(decision.outcome)
      const operations = decision.ok ? decision.operations : []
      // Here a reservation is a lock and no record.
      const reserving = reserve === undefined ? undefined : operations.find(({ op }) => op === 'reserve')
      if (reserve !== undefined && reserving !== undefined && 'resources' in reserving)
        reservation = makeReservation(disk, lock, this.layout, this.modes, reserving.resources, reserve)
      const entries = operations.filter(operation => operation !== reserving).map(operation => session.append(operation, now))
      const bound = entries.some(({ operation }) => binds(operation, live))
      // A launch without a ticket reserves no key; its session, too, is proven by the lock.
      const begins = reservation !== null || (reserve !== undefined && decision.ok)
      if (live !== null && !bound && !begins) {
        removeLiveFile(disk, this.layout, live.live)
        live.close()
        live = null
      }
      const { state } = session.loaded
      const resources = decision.ok ? decision.outcome.resources : []
      const leases = resources.map(resource => state.slot(resource).lease).filter((lease): lease is Lease => lease !== null)
      return { request, decision, now, entries, leases, live, reservation, lastSeq: state.lastSeq, recordsUntil: session.pending }
    } catch (error) {
      if (live !== null) this.#removeLeftover(live.live)
      live?.close()
      reservation?.remove()
      reservation?.close()
      request.reject(request.options.effect === undefined ? accessFault(error, this.layout.directory) : error)
      return null
    }
  }

  #recall(session: Session, opId: string): Entry | null {
    const { loaded } = session
    return recall(loaded.bytes ?? readFully(this.options.disk, session.fd, 0, loaded.end), opId)
  }

  /** The records did not arrive: nothing happened, and nothing is left of it. */
  #undo({ request, live, reservation }: Decided, error: unknown): void {
    reservation?.remove()
    reservation?.close()
    if (live !== null) {
      removeLiveFile(this.options.disk, this.layout, live.live)
      live.close()
    }
    request.reject(accessFault(error, this.layout.directory))
  }

  /** Liveness locks whose leases are over: the file goes while the store is locked, before the lock itself does. */
  #dropEnded({ request, decision }: Decided, state: Loaded['state']): void {
    if (!decision.ok) return
    const { unbind, unreserve } = request.options
    if (unbind !== undefined) this.#removeLeftover(unbind.live)
    unbind?.close()
    try {
      unreserve?.remove()
    } catch {
      // Its lock goes with the processes that keep it.
    }
    unreserve?.close()
    for (const { binding, group, holder } of decision.outcome.ended) {
      if (binding === null) continue
      // Where one of a group was given back the others are still proven by it.
      if (group?.resources.some(key => state.slot(key).lease?.binding?.live === binding.live) === true) continue
      // A session goes on when its ticket is done, and is still proven by its lock.
      const session = holder.sessionId === null ? null : state.slot(sessionKey(holder.sessionId)).session
      if (session?.binding?.live !== binding.live) this.#removeLeftover(binding.live)
    }
    for (const session of decision.outcome.endedSessions) if (session.binding !== null) this.#removeLeftover(session.binding.live)
  }

  /** Launchers that were killed leave the files of their locks; whoever launches next removes them, so that they do not pile up. */
  #tidyLocks(state: Loaded['state'], { wall }: Instant, made: number): void {
    const { disk, lock } = this.options
    try {
      for (const file of freeLocks({ disk, lock, layout: this.layout, now: wall, state }, made)) removeIfPresent(disk, file)
    } catch {
      // `recover` does it too, and says what is in its way.
    }
  }

  /** The records that end the lease are written: a file that stays says nothing, and is no reason to fail. */
  #removeLeftover(live: string): void {
    try {
      removeLiveFile(this.options.disk, this.layout, live)
    } catch {
      // `recover` removes it.
    }
  }

  #syncNow(fd: number, { decision, reservation, entries }: Decided): void {
    if (!decision.ok) return
    // A power loss that takes what it was decided upon takes the reservation as well, and its agent.
    if (reservation !== null && entries.length === 0) return
    try {
      this.options.disk.fdatasyncSync(fd)
    } catch (error) {
      throw this.#unsynced(fd, error)
    }
    this.#refusePoisoned()
  }

  async #sync(fd: number): Promise<void> {
    const { disk } = this.options
    try {
      await new Promise<void>((resolve, reject) => disk.fdatasync(fd, error => (error === null ? resolve() : reject(error))))
    } catch (error) {
      throw this.#unsynced(fd, error)
    }
    this.#refusePoisoned()
  }

  #unsynced(fd: number, error: unknown): Fault {
    const { disk } = this.options
    poison(disk, this.layout, disk.fstatSync(fd).ino, this.modes.file)
    return syncFault(error)
  }

  /** Another process's sync may have failed on pages that ours then found clean. */
  #refusePoisoned(): void {
    if (isPoisoned(this.options.disk, this.layout)) throw syncFault(undefined)
  }

  /** The index, when it is due; for a process that stays at most once in a while, since only others need it. */
  #afterwards(fd: number, written: Written | null): void {
    const { disk, resident } = this.options
    if (written === null || !isIndexDue(written.loaded)) {
      if (!resident) this.#log.forget()
      return
    }
    const { loaded, bytes } = written
    if (!resident) {
      refreshIndex(disk, this.layout, this.modes, loaded, bytes)
      this.#log.forget()
    } else if (performance.now() > this.#indexAgainAt) {
      const start = performance.now()
      if (!this.#isIndexFresh()) updateIndex(disk, this.layout, this.modes, fd, loaded)
      const end = performance.now()
      this.#indexAgainAt = end + Math.max(residentIndexMs, (end - start) * residentIndexShare)
    }
  }

  /** Many that stay keep one index. */
  #isIndexFresh(): boolean {
    const age = Date.now() - (lookAt(this.options.disk, this.layout.index)?.mtimeMs ?? 0)
    return age >= 0 && age < residentIndexMs
  }
}

/** Does this record need the liveness lock that was made for it? */
function binds(operation: Operation, live: LiveLock | null): boolean {
  if (live === null) return false
  if ('binding' in operation && operation.binding?.live === live.live) return true
  return 'sessions' in operation && (operation.sessions ?? []).some(({ binding }) => binding?.live === live.live)
}

/** How many lock files these launches have made. */
const filesOf = (launches: readonly Decided[]): number =>
  launches.reduce((count, { reservation, live }) => count + (reservation?.resources.length ?? 0) + Number(live !== null), 0)

/** What a request that came to nothing made. */
function letGo({ live, reservation }: Decided): void {
  live?.close()
  reservation?.close()
}

const reservationLost = ({ resources }: ReservationLock): Fault =>
  new Fault('unavailable', `the reservation of ${resources.join(', ')} is gone: somebody removed its file`, {
    hint: 'launch again',
    details: { outcome: 'nothing_changed' },
  })

const twoClocksWarning =
  'two clocks write into this store (two machines, or containers with their own time): expiry is judged by wall time; use an engine'

/** The real file system's answer to `fileSystemType`. */
export const statfsType = (directory: string): number => fs.statfsSync(directory).type
