import type { Command } from '../../src/core/command.ts'
import type { Holder } from '../../src/core/lease.ts'
import type { Disk } from '../../src/host/disk.ts'
import type { FileStore } from '../../src/store/file/store.ts'
import { acquire, holder, on, release, renew, sweep, transfer } from './cast.ts'
import type { Acknowledged } from './fault.ts'
import {
  acknowledgedBy,
  brokenChain,
  brokenHistory,
  brokenState,
  historyOf,
  isOk,
  lostAcknowledgement,
  openOn,
  rawLines,
  run,
  settle,
} from './fault.ts'
import type { Chance, SimProcess } from './sim-disk.ts'
import { SimClock, SimDisk, SimLock, chanceOf, failure, oneOf } from './sim-disk.ts'

// Crash states of the file store: several writers on one simulated disk, killed and started anew, and at any step the power goes. What
// is left is opened by a new process after a reboot, and has to be whole.

export const directory = '/repo/leasehold'
const log = `${directory}/claims.jsonl`
const keys = ['issue:1', 'issue:2', 'issue:3']
const dayMs = 86_400_000

/** A deliberate mistake; the enumeration has to find what follows from it. */
export interface Variant {
  /** Syncs that are left out. */
  readonly ignoreSync?: (file: string, process: SimProcess, lock: SimLock) => boolean
  /** The disk as the store sees it. */
  readonly wrap?: (process: SimProcess) => Disk
  /** Recovery by somebody who trusts every line that parses. */
  readonly naive?: boolean
}

export interface CrashOptions {
  readonly variant?: Variant
  readonly actions?: number
  /** States for each step. */
  readonly density?: number
  /** Chance of a sync that fails. */
  readonly failingSyncs?: number
}

interface State {
  readonly disk: SimDisk
  /** How many of the acknowledgements had been given. */
  readonly acknowledged: number
  readonly clock: { readonly m: number; readonly wall: number }
  readonly at: string
}

export interface Violation {
  readonly seed: number
  readonly at: string
  readonly what: string
}

export interface Tally {
  states: number
  steps: number
  acknowledged: number
  rotations: number
  kills: number
  /** Opened after cutting a tail. */
  repaired: number
  /** Refused, because a whole record follows the damaged one (ruling 12): a person has to say `recover --cut`. */
  refused: number
  readonly violations: Violation[]
}

export const emptyTally = (): Tally => ({
  states: 0,
  steps: 0,
  acknowledged: 0,
  rotations: 0,
  kills: 0,
  repaired: 0,
  refused: 0,
  violations: [],
})

interface Writer {
  readonly index: number
  process: SimProcess
  store: FileStore
  busy: boolean
}

const retention = { segmentBytes: 2_500, maxAgeMs: 1e15, maxBytes: 1e15 }

/** One history of three writers with a power loss at many of its steps; adds what it finds to `tally`. */
export async function crashRun(seed: number, tally: Tally, options: CrashOptions = {}): Promise<void> {
  const { variant = {}, actions = 40, density = 0.5, failingSyncs = 0 } = options
  const chance = chanceOf(seed)
  const sim = new SimDisk(seed ^ 0x5bd1e995)
  sim.plant('/repo')
  sim.shortWrites = 0.3
  const lock = new SimLock(sim)
  const clock = new SimClock()
  const { ignoreSync } = variant
  if (ignoreSync !== undefined) sim.ignoreSync = (file, process) => ignoreSync(file, process, lock)
  const acknowledged: Acknowledged[] = []
  const states: State[] = []
  const photograph = (at: string): void =>
    void states.push({ disk: sim.crash(chance), acknowledged: acknowledged.length, clock: { m: clock.m, wall: clock.wall }, at })
  sim.onStep = ({ call, path }) => {
    if (call === 'renameSync' && path === log) tally.rotations++
    for (let left = density; left > 0; left--) {
      if (chance() < left) photograph(`step ${sim.steps}, before ${call} ${path.slice(directory.length)}`)
    }
  }
  const start = (index: number): Pick<Writer, 'process' | 'store'> => {
    const process = sim.process(lock)
    return {
      process,
      store: openOn({ directory, clock, disk: variant.wrap?.(process) ?? process, lock, retention, resident: index === 0 }),
    }
  }
  const writers: Writer[] = [0, 1, 2].map(index => ({ index, ...start(index), busy: false }))
  const running: Promise<unknown>[] = []

  const ask = async ({ process, store }: Writer, command: Command): Promise<void> => {
    try {
      const commit = await run(store, command)
      if (isOk(commit)) acknowledged.push(...acknowledgedBy(commit))
    } catch (error) {
      // Nothing else than this may stop a writer here: its death, or a sync that we made fail.
      const unknown = failingSyncs > 0 && (error as { details?: { outcome?: string } }).details?.outcome === 'unknown'
      if (!process.dead && !unknown)
        tally.violations.push({ seed, at: `step ${sim.steps}`, what: `a writer was refused: ${(error as Error).message}` })
    }
  }
  const work = async (writer: Writer): Promise<void> => {
    writer.busy = true
    const { process } = writer
    // Two at once share a batch; its sync is then asynchronous, and others come in between unlock and sync.
    const count = chance() < 0.6 ? 2 : 1
    await Promise.all(Array.from({ length: count }, () => ask(writer, anyCommand(chance, writer.index))))
    if (writer.process === process) writer.busy = false
  }
  const revive = (): void => {
    for (const writer of writers) {
      if (!writer.process.dead) continue
      tally.kills++
      Object.assign(writer, start(writer.index), { busy: false })
    }
  }

  const fails = (): boolean => failingSyncs > 0 && chance() < failingSyncs
  for (let action = 0; action < actions; action++) {
    const idle = writers.filter(({ busy }) => !busy)
    if (sim.pendingSyncs.length > 0 && (idle.length === 0 || chance() < 0.4))
      oneOf(chance, sim.pendingSyncs).finish(fails() ? failure('EIO', 'fdatasync', log) : null)
    else if (idle.length > 0) running.push(work(oneOf(chance, idle)))
    if (chance() < 0.12) oneOf(chance, writers).process.killAfter = Math.floor(chance() * 30)
    if (fails()) oneOf(chance, writers).process.fail({ call: 'fdatasync', path: log, times: 1, code: 'EIO' })
    if (chance() < 0.3) clock.advance(Math.floor(chance() * 6000))
    // A day later the segment no longer carries every command along, so it stays small and is rotated often.
    if (chance() < 0.1) clock.wall += dayMs + 1
    await settle()
    revive()
  }
  while (sim.pendingSyncs.length > 0) {
    sim.pendingSyncs[0]!.finish(null)
    await settle()
    revive()
  }
  await Promise.all(running)
  photograph('the end')

  tally.steps += sim.steps
  tally.acknowledged += acknowledged.length
  for (const state of states) {
    tally.states++
    const told = acknowledged.slice(0, state.acknowledged)
    const what = variant.naive === true ? naively(state.disk) : await reopen(state, told, chance, tally)
    if (what !== null) tally.violations.push({ seed, at: state.at, what })
  }
}

const who = (index: number): Holder => holder(`agent:w${index}`, `s-${index}`)

function anyCommand(chance: Chance, index: number): Command {
  const key = oneOf(chance, keys)
  const pick = chance()
  if (pick < 0.5) return acquire(who(index), key, { ttlSecs: 1 + Math.floor(chance() * 8) })
  if (pick < 0.65) return renew(who(index), on(key))
  if (pick < 0.85) return release(who(index), on(key))
  if (pick < 0.95) return transfer(who(index), on(key), who((index + 1) % 3))
  return sweep(who(index))
}

/** Boots the machine again and opens the store; null when all is as it must be. */
async function reopen(state: State, acknowledged: readonly Acknowledged[], chance: Chance, tally: Tally): Promise<string | null> {
  const clock = new SimClock(1000, state.clock.wall + Math.floor(chance() * 7_200_000))
  let { disk } = state
  let boots = 0
  // Now and then the power goes again while the store is being opened.
  if (chance() < 0.15) {
    clock.boot = `boot-2-${boots++}`
    let second: SimDisk | null = null
    const dying = chance() * 30
    const sim = disk
    sim.onStep = () => {
      if (second === null && sim.steps >= dying) second = sim.crash(chance)
    }
    await probe(sim, clock, 'issue:probe').catch(() => null)
    disk = second ?? sim.crash(chance)
    clock.advance(5000)
  }
  clock.boot = `boot-2-${boots}`
  const before = disk.content(log)
  try {
    const token = await probe(disk, clock, 'issue:probe2')
    const largest = Math.max(0, ...acknowledged.map(({ seq }) => seq))
    if (token <= largest) return `the first token after the crash is ${token}, ${largest} was given before it`
  } catch (error) {
    const details = (error as { details?: Record<string, unknown> }).details
    if (Number(details?.['intact_lines_after'] ?? 0) > 0) {
      tally.refused++
      return disk.content(log) === before ? refusedWrongly(disk, acknowledged) : 'refused, and changed the log'
    }
    return `cannot be opened: ${(error as Error).message}`
  }
  return inspect(disk, clock, acknowledged, tally)
}

async function probe(disk: SimDisk, clock: SimClock, key: string): Promise<number> {
  const lock = new SimLock(disk)
  const store = openOn({ directory, clock, disk: disk.process(lock), lock, retention })
  const commit = await run(store, acquire(holder('agent:survivor', 's-x'), key, { ttlSecs: 600 }))
  store.close()
  if (!commit.decision.ok) throw new Error(`a free key was refused: ${JSON.stringify(commit.decision.refusal)}`)
  return commit.leases[0]!.token
}

async function inspect(disk: SimDisk, clock: SimClock, acknowledged: readonly Acknowledged[], tally: Tally): Promise<string | null> {
  const lock = new SimLock(disk)
  const store = openOn({ directory, clock, disk: disk.process(lock), lock, retention })
  const entries = await historyOf(store)
  const view = await store.view()
  if (entries.some(({ operation }) => operation.op === 'repair')) tally.repaired++
  return lostAcknowledgement(acknowledged, entries) ?? brokenHistory(entries) ?? brokenState(entries, view.all()) ?? brokenFiles(disk)
}

/** The chain of every segment, and of the segments among each other. */
function brokenFiles(disk: SimDisk): string | null {
  const archive = `${directory}/archive`
  const files = disk
    .names(archive)
    .filter(name => name.startsWith('claims-'))
    .map(name => `${archive}/${name}`)
  const sums = new Map<number, string>()
  for (const file of [...files, log]) {
    const bytes = disk.content(file)!
    const broken = brokenChain(bytes, file.slice(directory.length + 1))
    if (broken !== null) return broken
    for (const record of rawLines(bytes)) {
      if (record === null || record.op === 'live' || record.op === 'past' || record.op === 'ops') continue
      if (record.op === 'segment') {
        const before = sums.get(record.seq)
        if (before !== undefined && before !== record.prev) return `${file} does not continue the segment before it`
        continue
      }
      const other = sums.get(record.seq)
      if (other !== undefined && other !== record.sum) return `record ${record.seq} exists twice with different content`
      sums.set(record.seq, record.sum)
    }
  }
  return null
}

/** Where a person is asked, cutting at the damage must not lose anything that was acknowledged. */
function refusedWrongly(disk: SimDisk, acknowledged: readonly Acknowledged[]): string | null {
  const bytes = disk.content(log)!
  let last = 0
  for (const record of rawLines(bytes)) {
    if (record === null) break
    last = record.seq
  }
  const lost = acknowledged.find(({ seq }) => seq > last)
  return lost === undefined ? null : `acknowledged record ${lost.seq} is damaged`
}

/** What somebody finds who skips what does not parse and trusts the rest. */
function naively(disk: SimDisk): string | null {
  const bytes = disk.content(log)
  if (bytes === null) return null
  let last: number | null = null
  for (const line of bytes.toString('utf8').split('\n')) {
    let seq: number
    try {
      const record = JSON.parse(line) as { seq: number; op: string }
      if (record.op === 'live' || record.op === 'past' || record.op === 'ops') continue
      seq = record.seq
    } catch {
      continue
    }
    if (last !== null && seq !== last + 1) return `record ${seq} follows ${last}`
    last = seq
  }
  return null
}

// ── deliberate mistakes: table 4.6 of the design, and what this enumeration found itself ──

const logSync = (file: string): boolean => file === log

/** A disk on which a torn tail cannot be seen: its owner appends right behind it. */
function hidingTails(process: SimProcess): Disk {
  const hidden = new Map<number, number>()
  return process.with({
    openSync: ((file: string, ...rest: [number, number?]) => {
      const fd = process.openSync(file, ...rest)
      if (file === log) {
        const bytes = process.sim.content(log)!
        hidden.set(fd, bytes.length - (bytes.lastIndexOf(0x0a) + 1))
      }
      return fd
    }) as Disk['openSync'],
    fstatSync: ((fd: number) => {
      const stat = process.fstatSync(fd)
      return Object.assign(stat, { size: stat.size - (hidden.get(fd) ?? 0) })
    }) as Disk['fstatSync'],
  })
}

export const variants: Readonly<Record<string, { readonly variant: Variant; readonly finds: RegExp; readonly failingSyncs?: number }>> = {
  'without the sync of the archive directory (R5b)': {
    variant: { ignoreSync: file => file === `${directory}/archive` },
    finds: /acknowledged record \d+ .* is lost|follows/,
  },
  'without the sync of the old segment (R2)': {
    variant: { ignoreSync: (file, process, lock) => logSync(file) && lock.isHeldBy(process) },
    finds: /archive.*(no intact line|in the middle)|acknowledged record|follows/,
  },
  'unlock before the new segment has its name (R7)': {
    variant: { ignoreSync: file => file === directory },
    finds: /acknowledged record \d+|first token|claims\.jsonl is gone|format is missing/,
  },
  'acknowledge before fdatasync': {
    variant: { ignoreSync: (file, process, lock) => logSync(file) && !lock.isHeldBy(process) },
    finds: /acknowledged record \d+|first token/,
  },
  'append without repairing the tail': {
    variant: { wrap: hidingTails },
    finds: /acknowledged record \d+|first token/,
  },
  'skip bad lines, trust the others': {
    variant: { naive: true },
    finds: /record \d+ follows \d+/,
  },
  // Found here: the one who renamed was killed before R7, and the next writer appended to a segment whose name could still be lost.
  'go on in a segment whose maker was killed before R7': {
    variant: {
      wrap: process => {
        let renamed = false
        return process.with({
          renameSync: ((from: string, to: string) => {
            process.renameSync(from, to)
            renamed = true
          }) as Disk['renameSync'],
          fsyncSync: (fd: number) => {
            const isStore = process.sim.files.get(fd)?.path === directory
            if (!isStore || renamed) process.fsyncSync(fd)
            if (isStore) renamed = false
          },
        })
      },
    },
    finds: /acknowledged record \d+|first token|format is missing/,
  },
  'go on in a segment whose sync failed': {
    variant: {
      wrap: process =>
        process.with({
          lstatSync: ((file: string, options?: { throwIfNoEntry?: boolean }) =>
            file.endsWith('/poisoned') ? undefined : process.lstatSync(file, options)) as Disk['lstatSync'],
        }),
    },
    failingSyncs: 0.06,
    finds: /acknowledged record \d+|first token/,
  },
}
