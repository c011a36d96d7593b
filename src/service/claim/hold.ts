import type { ChildProcess } from 'node:child_process'
import type { Caller, Coordinator, Granted, Refused } from '../../coordinator.ts'
import { Fault, usage } from '../../core/fault.ts'
import type { EndedBy, Lease } from '../../core/lease.ts'
import type { Refusal } from '../../core/refusal.ts'
import { kindOf, show } from '../../core/resource.ts'
import { witnessOf } from '../../host/process.ts'
import { forwarded, isFromTerminal, onSignals } from './signals.ts'

/** What is to be kept while something runs. */
export interface KeepRequest {
  readonly coordinator: Coordinator
  readonly caller: Caller
  /** What was granted, with the liveness lock that binds it to this process. */
  readonly granted: Granted
  readonly warn: (text: string) => void
  /** An agent was launched: it may give the claim back or hand it on itself, and go on without it; and nobody gets that by time alone. */
  readonly launched?: boolean
}

export interface HoldRequest extends KeepRequest {
  /** Program and arguments. */
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** The resource whose lease the command finds in its environment; without it, one that was taken for it. */
  readonly proof?: string
  /** Where the command runs; here unless told. */
  readonly cwd?: string
  /** Keep standard output for our own document. */
  readonly stdoutToStderr: boolean
}

export interface Held {
  /** The child's, or 128 + n when a signal ended it. */
  readonly exitCode: number
  /** Why the lease was lost meanwhile, or null. */
  readonly lost: Refused | null
  /** What was given back at the end. */
  readonly released: readonly Lease[]
}

/** Who holds while a command runs: this very process, whose end can be proven, whoever started it. */
export function heldByThisProcess<C extends Caller>(caller: C): C {
  const witness = witnessOf(process.pid)
  return witness === null ? caller : { ...caller, holder: { ...caller.holder, witness } }
}

/** Throws `usage` for a replay: what that command was granted is bound to its process, and a second one beside it would share the lease. */
export function refuseReplay({ replay, opId }: Granted): void {
  if (replay)
    throw usage(
      `the op_id "${opId}" was already used: a command that runs under a lease cannot be repeated by its id`,
      'use a new one, or none',
    )
}

/** From the first SIGTERM to SIGKILL, milliseconds. */
const killAfterMs = 10_000

/** How often an indefinite lease, or one with a long TTL, gives a sign of life and learns that it was evicted, milliseconds. */
const indefiniteBeatMs = 60_000

/**
 * Runs a command while holding leases: renews them at a fifth of the TTL, ends the command when they are lost or its own deadline has
 * passed without a renewal, and releases them after. The command inherits the liveness lock, so that the lease outlives this process as
 * long as the command does. (The holder's deadline by its own clock, measured from before the request: see client-go's leader election.)
 */
export async function runHolding(request: HoldRequest): Promise<Held> {
  const { granted } = request
  const keeper = new Keeper(request)
  let child: ChildProcess | null = null
  /** What was sent before there was anybody to hand it to: a signal that ended us now would leave the command running alone. */
  const early: NodeJS.Signals[] = []
  const kill = (signal?: NodeJS.Signals): boolean => child?.kill(signal) ?? early.push(signal ?? 'SIGTERM') > 0
  const stopForwarding = forwardSignals({ kill }, () => process.stdin.isTTY)
  try {
    child = await started(request)
    keeper.watch(child)
    for (const signal of early) child.kill(signal)
    const exitCode = await exited(child)
    await keeper.look().catch(() => undefined)
    return { exitCode, lost: keeper.lost, released: keeper.lost === null ? await giveBack(request) : [] }
  } finally {
    stopForwarding()
    keeper.stop()
    granted.liveLock?.close()
  }
}

async function started(request: HoldRequest): Promise<ChildProcess> {
  const { command, cwd, env, granted, proof, stdoutToStderr } = request
  const { spawn } = await import('node:child_process')
  const [program, ...args] = command
  const stdio = [
    'inherit',
    stdoutToStderr ? 2 : 'inherit',
    'inherit',
    ...(granted.liveLock?.fd === null || granted.liveLock === null ? [] : [granted.liveLock.fd]),
  ] as const
  try {
    const child = spawn(program!, args, {
      stdio: [...stdio],
      env: { ...env, ...holdEnvironment(granted, proof, env['LEASEHOLD_LIVE']) },
      ...(cwd === undefined ? {} : { cwd }),
    })
    await begun(child)
    return child
  } catch (error) {
    // Node throws some of what the system says, and tells of the rest later.
    await giveBack(request)
    throw notStarted(program!, error as Error, taken(granted).length === granted.leases.length)
  }
}

const begun = (child: ChildProcess): Promise<void> => new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))

/** What this command took itself. What its holder had before is another ownership with another token, and goes on after it. */
const taken = ({ leases, seqs }: Granted): readonly Lease[] => leases.filter(({ token }) => seqs.includes(token))

/** What a command that runs under leases finds in its environment: one ownership, the one that was taken for it where there is one. */
function holdEnvironment(granted: Granted, proof?: string, outer?: string): Record<string, string> {
  const first = granted.leases.find(({ resource }) => resource === proof) ?? taken(granted)[0] ?? granted.leases[0]
  if (first === undefined) return {}
  const same = granted.leases.filter(({ token }) => token === first.token)
  return {
    LEASEHOLD_LEASE: first.leaseId,
    LEASEHOLD_TOKEN: String(first.token),
    LEASEHOLD_RESOURCES: same.map(({ resource }) => resource).join('\n'),
    // Together they have a token; each has a lease id, which the same line names.
    LEASEHOLD_LEASES: same.map(({ leaseId }) => leaseId).join('\n'),
    // By this the store finds a child that closed what it inherited: whatever carries it still works under these leases, and under those
    // of whoever runs us, whose lock we do not hand on.
    ...(granted.liveLock === null ? {} : { LEASEHOLD_LIVE: carriedWith(granted.liveLock.live, outer) }),
  }
}

/** The locks under which something runs, a line each: its own, and what whoever runs us carries. */
export const carriedWith = (live: string, outer: string | undefined): string => (outer ? `${live}\n${outer}` : live)

const startTroubles: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such program',
  EACCES: 'it may not be executed',
  ENOTDIR: 'there is no such program',
  ELOOP: 'its symbolic links lead in a circle',
  ENAMETOOLONG: 'its name is too long',
  E2BIG: 'its arguments and its environment are too long together',
  ERR_INVALID_ARG_VALUE: 'it has no name',
}

/** Why a program does not start, in words. */
export const whyNotStarted = (error: unknown): string =>
  startTroubles[(error as NodeJS.ErrnoException).code ?? ''] ?? (error as Error).message

function notStarted(program: string, error: Error, gaveBack: boolean): Fault {
  return new Fault('usage', `${show(program)} could not be started: ${whyNotStarted(error)}`, {
    hint: gaveBack ? 'nothing is held any more' : 'what was held before is still held',
    cause: error,
  })
}

/** What became of the command is known, whatever the store says now: a release that fails is no reason to take the command for not run. */
async function giveBack(request: HoldRequest): Promise<readonly Lease[]> {
  try {
    return await released(request)
  } catch (error) {
    const what = taken(request.granted).map(({ resource }) => resource)
    request.warn(`the lease on ${what.join(', ')} could not be given back, and ends with this process: ${(error as Error).message}`)
    return []
  }
}

/** Only what this command took itself: what was held before goes on being held. */
async function released({ coordinator, caller, granted }: HoldRequest): Promise<readonly Lease[]> {
  const own = taken(granted)
  // One of them may have been given back alone.
  const view = own.length > 1 ? await coordinator.view(own.map(({ resource }) => resource)) : null
  const first = own.find(({ resource, token }) => view?.lease(resource)?.token === token) ?? own[0]
  if (first === undefined) return []
  const { holder } = caller
  const answer = await coordinator.release(
    { holder },
    {
      target: { resource: first.resource },
      presented: { leaseId: first.leaseId, token: first.token },
      ...(granted.liveLock === null ? {} : { unbind: granted.liveLock }),
    },
  )
  return answer.ok ? answer.ended : []
}

/** How long the log may be quiet until it is looked at all the same, and the least time between two looks, milliseconds. */
const lookAgainMs = 5000
const betweenLooksMs = 500

/** How long the first answer may take of a store that was away, milliseconds. */
const answerMs = 10_000

/** Who was stopped itself asks at once when it goes on, and hears at least this long whether the lease is still there, milliseconds. */
const lateAnswerMs = 1000

/** Longest time for one timer, milliseconds. */
const maxTimerMs = 2 ** 31 - 1000

const pause = (ms: number): Promise<void> => new Promise(resolve => void setTimeout(resolve, ms).unref())

/** What is ended when the lease is lost. */
type Runner = { kill(signal?: NodeJS.Signals): boolean }

/** Renews in time, and ends the command when that has become impossible. */
export class Keeper {
  lost: Refused | null = null
  readonly #request: KeepRequest
  /** One lease of each ownership: what was taken now, and what its holder had before. */
  #leases: readonly Lease[]
  /** By our own clock, from before the request was sent, with a margin: past it somebody else may be the holder. */
  #deadline: number
  #child: Runner | null = null
  #timer: NodeJS.Timeout | undefined
  #kill: NodeJS.Timeout | undefined
  #stopped = false

  constructor(request: KeepRequest) {
    this.#request = request
    this.#leases = [...new Map(request.granted.leases.map(lease => [lease.token, lease])).values()]
    this.#deadline = this.#deadlineFrom(performance.now())
    this.#schedule(this.#intervalMs())
  }

  watch(child: Runner): void {
    this.#child = child
    if (this.lost !== null) this.#end()
    else void this.#keepLooking()
  }

  /** One more ownership to keep: it was handed on to what runs. */
  add(lease: Lease): void {
    if (this.#stopped || this.#leases.some(({ token }) => token === lease.token)) return
    this.#leases = [...this.#leases, lease]
    this.#deadline = this.#deadlineFrom(performance.now())
    this.#schedule(this.#intervalMs())
  }

  /** An eviction is meant to stop the work now: the next renewal may be minutes away. */
  async #keepLooking(): Promise<void> {
    const { coordinator } = this.#request
    while (!this.#stopped && this.lost === null) {
      // What cannot be read now, the renewals find out.
      // oxlint-disable-next-line no-await-in-loop -- one look after the other is the point
      const seen = await this.look().catch(() => null)
      // oxlint-disable-next-line no-await-in-loop -- as above
      if (seen !== null) await coordinator.changed(seen, lookAgainMs).catch(() => undefined)
      // oxlint-disable-next-line no-await-in-loop -- as above
      await pause(betweenLooksMs)
    }
  }

  /** Is everything that is held still ours? Resolves to the position of the log that was looked at. */
  async look(): Promise<number> {
    const view = await this.#request.coordinator.view(this.#leases.map(({ resource }) => resource))
    for (const { resource, leaseId, token, ttlSecs } of this.#leases) {
      const lease = view.lease(resource)
      if (lease?.token === token && lease.ttlSecs !== ttlSecs) this.#follow(lease, view.now.m - lease.beat.m)
      if (this.lost !== null || lease?.token === token) continue
      if (lease === null && token > view.lastSeq) throw notTheLog()
      // oxlint-disable-next-line no-await-in-loop -- hardly ever more than one
      if (await this.#wasGivenBack(token)) continue
      const past = view.past(resource)
      const refusal: Refusal = {
        kind: 'superseded',
        resource,
        lease,
        past: past?.token === token ? past : null,
        presented: { leaseId, token },
        asker: this.#request.caller.holder,
      }
      this.#lose({ ok: false, refusal, opId: '', now: view.now, lastSeq: view.lastSeq })
    }
    return view.lastSeq
  }

  /** Somebody gave it another TTL: the next renewal may be due before the one that was planned. */
  #follow(lease: Lease, ageMs: number): void {
    this.#leases = this.#leases.map(each => (each.token === lease.token ? lease : each))
    this.#deadline = Math.min(this.#deadline, this.#deadlineFrom(performance.now() - ageMs))
    if (!this.#stopped) this.#schedule(0)
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    clearTimeout(this.#kill)
  }

  /** The shortest deadline counts; an indefinite lease has none, but it can be evicted, and it should not look stale. */
  #ttlMs(): number {
    return Math.min(...this.#leases.map(({ ttlSecs }) => (ttlSecs === 0 ? Number.POSITIVE_INFINITY : ttlSecs * 1000)))
  }

  #intervalMs(): number {
    return Math.min(this.#ttlMs() / 5, indefiniteBeatMs)
  }

  #deadlineFrom(sentAt: number): number {
    const ttlMs = this.#ttlMs()
    // A store that does not answer for less than a TTL, from any moment on, ends no agent whose claim time alone does not end.
    if (this.#request.launched === true) return sentAt + ttlMs + this.#intervalMs() + answerMs
    return ttlMs === Number.POSITIVE_INFINITY ? ttlMs : sentAt + ttlMs - Math.min(ttlMs / 3, Math.max(2000, ttlMs / 10))
  }

  /** There is one plan: a newer one replaces it. */
  #schedule(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#renew(), ms)
  }

  async #renew(): Promise<void> {
    const sentAt = performance.now()
    const { coordinator, caller, warn } = this.#request
    const silence = this.#endAtDeadline(sentAt)
    try {
      for (const { resource, leaseId, token } of this.#leases) {
        // oxlint-disable-next-line no-await-in-loop -- hardly ever more than one
        const answer = await coordinator.renew({ holder: caller.holder }, { target: { resource }, presented: { leaseId, token } })
        if (answer.ok) continue
        if (answer.refusal.kind === 'store-reset') throw notTheLog()
        // oxlint-disable-next-line no-await-in-loop -- as above
        if (!(await this.#wasGivenBack(token))) return this.#lose(answer)
      }
      if (this.#leases.length === 0 || this.lost !== null) return
      this.#deadline = this.#deadlineFrom(sentAt)
      this.#schedule(this.#intervalMs())
    } catch (error) {
      if (this.lost !== null) return
      const left = this.#deadline - performance.now()
      const what = this.#leases.map(({ resource }) => resource).join(', ')
      warn(
        `the lease on ${what} could not be renewed (${(error as Error).message}); the command is ended in ${Math.max(0, Math.round(left / 1000))} s unless that changes`,
      )
      if (left <= 0) this.#lose(null)
      else this.#schedule(Math.min(1000, left))
    } finally {
      clearTimeout(silence)
    }
  }

  /** While an answer is awaited the deadline passes all the same: who gets the lease next may be answered before us. */
  #endAtDeadline(sentAt: number): NodeJS.Timeout | undefined {
    const left = Math.max(this.#deadline - sentAt, Math.min(lateAnswerMs, this.#ttlMs() / 6))
    if (left > maxTimerMs) return undefined
    return setTimeout(() => {
      if (this.#stopped || this.lost !== null) return
      const what = this.#leases.map(({ resource }) => resource).join(', ')
      this.#request.warn(`the lease on ${what} could not be renewed in time: the store does not answer; the command is ended`)
      this.#lose(null)
    }, left)
  }

  /** Was this ownership given back, and not lost? Then only what is left of it is kept, if anything. */
  async #wasGivenBack(token: number): Promise<boolean> {
    const { coordinator, granted, launched = false } = this.#request
    const kept = this.#leases.find(lease => lease.token === token)
    if (kept === undefined) return true
    const resources = kept.group?.resources ?? [kept.resource]
    const view = await coordinator.view(resources)
    const [left] = resources.map(each => view.lease(each)).filter(lease => lease?.token === token)
    const over = resources.filter(each => view.lease(each)?.token !== token)
    const ends = await Promise.all(over.map(async each => ({ kind: kindOf(each), ...(await coordinator.endOf(each, token)) })))
    const forCommand = !launched && taken(granted).some(lease => lease.token === token)
    // Where some of it is left, its holder gave the others back alone: nothing else ends a part.
    const wasGivenBack =
      over.includes(kept.resource) &&
      (left !== undefined ||
        (forCommand ? ends.every(isFinished) : ends.some(({ by }) => by === 'release' || (launched && by === 'transfer'))))
    if (wasGivenBack) this.#leases = this.#leases.flatMap(lease => (lease.token === token ? (left ?? []) : lease))
    return wasGivenBack
  }

  #lose(refused: Refused | null): void {
    if (this.lost !== null) return
    this.lost = refused ?? this.#unreachable()
    this.#end()
  }

  /** No answer until our own deadline: the command ends before anybody else can start. */
  #unreachable(): Refused {
    const { now } = this.#request.granted
    const lease = this.#leases[0]!
    const presented = { leaseId: lease.leaseId, token: lease.token }
    return {
      ok: false,
      refusal: { kind: 'superseded', resource: lease.resource, lease: null, past: null, presented, unanswered: true },
      opId: '',
      now,
      lastSeq: 0,
    }
  }

  #end(): void {
    if (this.#child === null) return
    const child = this.#child
    child.kill('SIGTERM')
    this.#kill = setTimeout(() => child.kill('SIGKILL'), killAfterMs)
  }
}

/**
 * May what was taken for a command end so inside it? A ticket that was finished there, with its worktree and branch; a mere release leaves
 * the command without what it was to run under.
 */
const isFinished = ({ kind, by, outcome }: { readonly kind: string; readonly by?: EndedBy; readonly outcome?: string | null }): boolean =>
  by === 'release' && (kind === 'ticket' ? (outcome ?? null) !== null : kind === 'worktree' || kind === 'branch')

/** A log that ends before a token of ours never granted it, so it cannot say that it was lost: the repository was moved, or is not mounted. */
const notTheLog = (): Fault => new Fault('unavailable', 'its log is not where it was')

/** The command decides what a signal means; what the terminal that it shares sends has reached it already. */
export function forwardSignals(child: Runner, sharesTerminal: () => boolean): () => void {
  return onSignals(forwarded, signal => {
    if (!isFromTerminal(signal) || !sharesTerminal()) child.kill(signal)
  })
}

/** A child's exit code, or 128 + n when a signal ended it. */
export function exited(child: ChildProcess): Promise<number> {
  return new Promise(resolve => {
    const finish = (code: number | null, signal: NodeJS.Signals | null): void =>
      resolve(code ?? 128 + (process.getBuiltinModule('node:os').constants.signals[signal ?? 'SIGKILL'] ?? 9))
    if (child.exitCode !== null || child.signalCode !== null) finish(child.exitCode, child.signalCode)
    else child.once('exit', finish)
  })
}
