import fs from 'node:fs'
import type { AcquireRequest, Answer, Caller } from '../../src/coordinator.ts'
import { Coordinator } from '../../src/coordinator.ts'
import type { Disk } from '../../src/host/disk.ts'
import { systemClock } from '../../src/host/clock.ts'
import { kernelLock } from '../../src/host/kernel-lock.ts'
import { FileStore, statfsType } from '../../src/store/file/store.ts'
import { chanceOf, noLock, oneOf } from './sim-disk.ts'

// One process of the process tests, bundled by `fault-processes.ts`. Either it works in a loop until its time is over and writes down
// every call and every answer, or it carries out a script and prints what came of it.

export interface LoopTask {
  readonly mode: 'loop'
  readonly directory: string
  readonly name: string
  readonly seed: number
  readonly keys: readonly string[]
  /** When this file is there, it is over. */
  readonly stop: string
  readonly answers: string
  readonly segmentBytes: number
  readonly resident: boolean
  /** Splits its writes to the log, and now and then dies in the middle of one. */
  readonly torn: boolean
  readonly noLock: boolean
  readonly pauseMs: number
}

export interface ScriptTask {
  readonly mode: 'script'
  readonly directory: string
  readonly segmentBytes?: number
  readonly lockWaitMs?: number
  readonly steps: readonly ScriptStep[]
}

type AcquireStep = {
  readonly do: 'acquire'
  readonly who: string
  readonly key: string
  readonly ttlSecs?: number
  readonly reason?: string
  readonly opId?: string
  readonly waitMs?: number
}

type HolderStep = {
  readonly do: 'renew' | 'release'
  readonly who: string
  readonly key: string
  readonly opId?: string
  readonly note?: string
}

export type ScriptStep =
  | AcquireStep
  | HolderStep
  | { readonly do: 'sweep' | 'list'; readonly who: string; readonly times?: number }
  /** Dies after the n-th call of this kind on a path with this in it. */
  | { readonly do: 'die-after'; readonly call: string; readonly path: string }

/** What a script's step came to. */
export type ScriptResult =
  | {
      readonly ok: true
      readonly tokens: readonly number[]
      readonly seqs: readonly number[]
      readonly replay: boolean
      readonly leases: readonly string[]
    }
  | {
      readonly ok: false
      readonly kind?: string
      readonly by?: string | null
      readonly code?: string
      readonly message?: string
      readonly hint?: string
      readonly outcome?: unknown
      readonly warnings?: readonly string[]
    }

const milliseconds = (): number => Number(process.hrtime.bigint()) / 1e6
const policy = { ttlSecs: 1, staleSecs: 20, maxIndefinitePerAgent: 1000, maxIndefinitePerRepo: 1000 }
const holderNamed = (agentId: string): Caller['holder'] => ({ agentId, worktreeId: 'wt:00000001', sessionId: 's', witness: null })

function storeAt(
  directory: string,
  disk: Disk,
  options: { readonly segmentBytes: number; readonly resident?: boolean; readonly noLock?: boolean; readonly lockWaitMs?: number },
): FileStore {
  return new FileStore({
    directory,
    disk,
    clock: systemClock(),
    lock: options.noLock === true ? noLock : kernelLock(),
    fileSystemType: statfsType,
    shared: false,
    lockWaitMs: options.lockWaitMs ?? 10_000,
    retention: { segmentBytes: options.segmentBytes, maxAgeMs: 1e15, maxBytes: 1e15 },
    limits: { max_indefinite_leases_per_agent: 1000, max_indefinite_leases_per_repo: 1000 },
    limitsChosen: [],
    allowUnsafeFs: false,
    resident: options.resident ?? false,
  })
}

// ── loop ──

async function loop(task: LoopTask): Promise<void> {
  const chance = chanceOf(task.seed)
  const store = storeAt(task.directory, task.torn ? splitting(chance) : fs, task)
  const coordinator = new Coordinator(store, policy, task.name)
  const answers = fs.openSync(task.answers, 'a')
  const write = (record: object): void => {
    try {
      fs.writeSync(answers, `${JSON.stringify(record)}\n`)
    } catch {
      // Its own notes meet the limit on file sizes too: an operation without an answer counts as lost.
      process.exit(0)
    }
  }
  let incarnation = 0
  let held: string | null = null
  while (!fs.existsSync(task.stop)) {
    // A client whose answer was lost goes on under a new name: the old one may or may not hold something.
    const name = `agent:${task.name}.${incarnation}`
    const caller = { holder: holderNamed(name) }
    const pick = chance()
    // What it holds it soon gives back, so that others have something to do.
    const mine: boolean = held !== null && pick < 0.8
    const key: string = mine ? held! : oneOf(chance, task.keys)
    const f = mine
      ? pick < 0.3
        ? 'renew'
        : 'release'
      : pick < 0.9
        ? 'acquire'
        : oneOf(chance, ['read', 'read', 'renew', 'release'] as const)
    const ttlSecs = chance() < 0.7 ? 1 : 2
    write({ f, key, holder: name, ttl: ttlSecs * 1000, call: milliseconds() })
    try {
      if (f === 'read') {
        const view = await store.view()
        write({ ret: milliseconds(), out: { ok: true, by: view.lease(key)?.holder.agentId ?? null } })
      } else {
        const answer = await ask(coordinator, caller, f, key, ttlSecs)
        if (f === 'acquire' && answer.ok) held = key
        else if (mine && f === 'release') held = null
        write({ ret: milliseconds(), out: told(answer), seqs: answer.ok ? answer.seqs : [], opId: answer.opId })
      }
    } catch (error) {
      const { details } = error as { details?: { outcome?: string } }
      if (details?.outcome === 'nothing_changed') write({ nothing: (error as Error).message })
      else {
        write({ lost: `${(error as Error).name}: ${(error as Error).message}`, outcome: details?.outcome ?? null })
        incarnation++
        held = null
      }
    }
    if (task.pauseMs > 0) await new Promise(resolve => setTimeout(resolve, chance() * 2 * task.pauseMs))
  }
  store.close()
}

function ask(coordinator: Coordinator, caller: Caller, f: 'acquire' | 'renew' | 'release', key: string, ttlSecs: number): Promise<Answer> {
  if (f === 'acquire') return coordinator.acquire(caller, { resources: [key], ttlSecs })
  if (f === 'renew') return coordinator.renew(caller, { target: { resource: key }, ttlSecs })
  return coordinator.release(caller, { target: { resource: key } })
}

function told(answer: Answer): object {
  if (answer.ok) return { ok: true, token: answer.leases[0]?.token, again: answer.alreadyHeld, wrote: answer.seqs.length }
  const { refusal } = answer
  const blocker = 'lease' in refusal ? refusal.lease : null
  return { ok: false, kind: refusal.kind, ...(blocker === null ? {} : { by: blocker.holder.agentId }) }
}

/** Writes to the log in several pieces, and sometimes dies between two of them. */
function splitting(chance: () => number): Disk {
  const logs = new Set<number>()
  return {
    ...fs,
    openSync: ((file: string, flags: number, mode?: number) => {
      const fd = fs.openSync(file, flags, mode)
      if (file.endsWith('/claims.jsonl')) logs.add(fd)
      else logs.delete(fd)
      return fd
    }) as Disk['openSync'],
    writeSync: ((fd: number, bytes: Uint8Array, offset: number, length: number, position?: number) => {
      if (!logs.has(fd) || length < 2 || chance() < 0.5) return fs.writeSync(fd, bytes, offset, length, position)
      const part = 1 + Math.floor(chance() * (length - 1))
      const written = fs.writeSync(fd, bytes, offset, part, position)
      if (chance() < 0.05) process.kill(process.pid, 'SIGKILL')
      const go = milliseconds() + 0.3
      while (milliseconds() < go);
      return written
    }) as Disk['writeSync'],
  }
}

// ── script ──

async function script(task: ScriptTask): Promise<void> {
  let deathAt: { readonly call: string; readonly path: string } | null = null
  const paths = new Map<number, string>()
  const nameOf = (where: unknown): string => (typeof where === 'number' ? (paths.get(where) ?? '') : String(where))
  const mortal = new Proxy(fs, {
    get(target, property) {
      const value = Reflect.get(target, property) as unknown
      if (typeof value !== 'function') return value
      return (...args: unknown[]) => {
        const result = (value as (...all: unknown[]) => unknown).apply(target, args)
        if (property === 'openSync') paths.set(result as number, String(args[0]))
        // A rename is told apart by where it goes.
        const where = property === 'renameSync' ? String(args[1]) : nameOf(args[0])
        if (deathAt?.call === property && where.endsWith(deathAt.path)) process.kill(process.pid, 'SIGKILL')
        return result
      }
    },
  }) as Disk
  const store = storeAt(task.directory, mortal, {
    segmentBytes: task.segmentBytes ?? 1 << 20,
    ...(task.lockWaitMs === undefined ? {} : { lockWaitMs: task.lockWaitMs }),
  })
  const coordinator = new Coordinator(store, policy, 'script')
  for (const step of task.steps) {
    if (step.do === 'die-after') deathAt = step
    else fs.writeSync(1, `${JSON.stringify(await carryOut(step, store, coordinator))}\n`)
  }
  store.close()
}

async function carryOut(
  step: Exclude<ScriptStep, { readonly do: 'die-after' }>,
  store: FileStore,
  coordinator: Coordinator,
): Promise<ScriptResult> {
  try {
    if (step.do === 'list') {
      let leases: readonly string[] = []
      for (let time = 0; time < (step.times ?? 1); time++) leases = [...(await store.view()).all()].map(({ resource }) => resource)
      return { ok: true, tokens: [], seqs: [], replay: false, leases }
    }
    const caller: Caller = { holder: holderNamed(step.who), ...('opId' in step && step.opId !== undefined ? { opId: step.opId } : {}) }
    if (step.do === 'sweep') {
      const seqs: number[] = []
      for (let time = 0; time < (step.times ?? 1); time++) {
        const answer = await coordinator.sweep(caller)
        if (answer.ok) seqs.push(...answer.seqs)
      }
      return { ok: true, tokens: [], seqs, replay: false, leases: [] }
    }
    const answer = await change(step as AcquireStep | HolderStep, caller, coordinator)
    if (answer.ok) {
      const { leases, seqs, replay } = answer
      return { ok: true, tokens: leases.map(({ token }) => token), seqs, replay, leases: leases.map(({ resource }) => resource) }
    }
    const { refusal } = answer
    return { ok: false, kind: refusal.kind, by: 'lease' in refusal ? (refusal.lease?.holder.agentId ?? null) : null }
  } catch (error) {
    const { code, message, hint, details } = error as { code?: string; message: string; hint?: string; details?: { outcome?: unknown } }
    return {
      ok: false,
      ...(code === undefined ? {} : { code }),
      message,
      ...(hint === undefined ? {} : { hint }),
      outcome: details?.outcome,
    }
  }
}

function change(step: AcquireStep | HolderStep, caller: Caller, coordinator: Coordinator): Promise<Answer> {
  if (step.do === 'renew')
    return coordinator.renew(caller, { target: { resource: step.key }, ...(step.note === undefined ? {} : { note: step.note }) })
  if (step.do === 'release') return coordinator.release(caller, { target: { resource: step.key } })
  const { key, ttlSecs, reason, waitMs } = step as AcquireStep
  const request: AcquireRequest = {
    resources: [key],
    ...(ttlSecs === undefined ? {} : { ttlSecs }),
    ...(reason === undefined ? {} : { reason }),
    ...(waitMs === undefined ? {} : { waitMs }),
  }
  return coordinator.acquire(caller, request)
}

const task = JSON.parse(process.argv[2]!) as LoopTask | ScriptTask
await (task.mode === 'loop' ? loop(task) : script(task))
