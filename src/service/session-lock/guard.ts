import type { Witness } from '../../core/lease.ts'
import { ancestors, bootId, hostname, pidNamespace, timeNamespace, witnessOf } from '../../host/process.ts'
import { isClient } from '../identity/agent.ts'
import type { LockDirectory } from './binding.ts'
import { isProvenDead, witnessIn } from './life.ts'
import { acquire, computeWorkspaceHash, refresh, release, type AcquireResult, type LockIO, type LockRequest } from './lock.ts'
import { momentNow } from './moment.ts'
import { ageMs, clkOf, recordOf, remainingMs, type LockRecord, type Moment } from './record.ts'

/** A session as a hook sees it. */
export interface Claimant {
  readonly sessionId: string
  readonly agent: string
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** The client's process, where it is known already. */
  readonly client?: Witness
}

/** How long what a tool does may take. */
export interface Stretch {
  /** The tool call; the same id ends it. */
  readonly id: string
  readonly ms: number
}

/** A tool call that was begun and is not known to be over. */
interface Running {
  readonly id: string
  /** Monotonic milliseconds until which the lock has to last for it. */
  readonly m: number
}

/** A lock that was refreshed less than this part of its length ago is not written again. */
const freshPart = 1 / 20

/** More tools do not run at once, and what never ended is forgotten by its own time. */
const maxRunning = 16

/** The session locks as hooks use them: each step is one under any number of processes. */
export class Guard {
  readonly #directory: LockDirectory
  readonly #claimant: Claimant
  readonly #deadline: number
  /** Where this call has written down that it runs. */
  readonly #begun: { readonly workspace: string; readonly ttlMs: number; readonly id: string }[] = []
  /** The workspaces that this call has taken, and that were not its session's before. */
  readonly #taken: string[] = []
  #client: Witness | null | undefined

  /** `deadline` as `elapsedMs` counts. */
  constructor(directory: LockDirectory, claimant: Claimant, deadline: number) {
    this.#directory = directory
    this.#claimant = claimant
    this.#deadline = deadline
    this.#client = claimant.client
  }

  /** Takes or refreshes the lock of each workspace, all or none. What was taken for nothing is given back. */
  enter(workspaces: readonly string[], ttlMs: number, stretch: Stretch | null): AcquireResult | null {
    let last: AcquireResult | null = null
    // In one order, so that two sessions that want the same two cannot each have one.
    for (const workspace of workspaces.toSorted()) {
      last = this.#enter(computeWorkspaceHash(workspace), workspace, ttlMs, stretch)
      if (!last.acquired) {
        this.withdraw(() => true)
        return last
      }
      if (last.how !== 'refreshed') this.#taken.push(workspace)
      const running = last.how === 'refreshed' ? runningIn(last.previous) : []
      if (stretch !== null && running.every(({ id }) => id !== stretch.id)) this.#begun.push({ workspace, ttlMs, id: stretch.id })
    }
    return last
  }

  /** The call is blocked: it runs nowhere, and what it has taken goes back, where `isBack` says so. Never throws: it stays blocked, and time ends what is left. */
  withdraw(isBack: (workspace: string) => boolean): void {
    try {
      for (const workspace of this.#taken.splice(0)) if (isBack(workspace)) this.#leave(computeWorkspaceHash(workspace))
      for (const { workspace, ttlMs, id } of this.#begun.splice(0)) this.refresh([workspace], ttlMs, id)
    } catch {
      // Others keep the directory's lock until our deadline.
    }
  }

  #enter(hash: string, workspace: string, ttlMs: number, stretch: Stretch | null): AcquireResult {
    const now = momentNow()
    const seen = this.#directory.glance(hash)
    const record = seen === null ? null : recordOf(seen)
    if (record !== null) {
      // Most calls end here, with one read: ours and fresh, or another's and alive. Both were true when we read it.
      if (record.session_id === this.#claimant.sessionId && isFresh(record, now, ttlMs, stretch))
        return { acquired: true, how: 'refreshed', record, previous: record }
      if (record.session_id !== this.#claimant.sessionId && !this.#isOwn(record)) {
        const remaining = remainingMs(record, now)
        if (remaining > 0 && !isProvenDead(record)) return { acquired: false, holder: record, remainingMs: remaining }
      }
    }
    return this.#directory.locked(this.#deadline, () => {
      const inside = momentNow()
      return acquire(this.#io(hash, ttlMs, inside, stretch, null), {
        ...this.#request(inside, ttlMs),
        isDead: isProvenDead,
        isOwn: found => this.#isOwn(found),
        extra: { ...this.#facts(), workspace },
      })
    })
  }

  /** Refreshes the locks that this session has of these workspaces; `ended` is a tool call that is over. */
  refresh(workspaces: readonly string[], ttlMs: number, ended: string | null, background: Stretch | null = null): void {
    for (const workspace of workspaces) {
      const hash = computeWorkspaceHash(workspace)
      const now = momentNow()
      const seen = this.#directory.glance(hash)
      const record = seen === null ? null : recordOf(seen)
      if (record === null && this.#directory.read(hash) === null) continue
      if (record !== null && record.session_id !== this.#claimant.sessionId) continue
      if (record !== null && !runningIn(record).some(({ id }) => id === ended) && isFresh(record, now, ttlMs, background)) continue
      this.#directory.locked(this.#deadline, () => {
        const inside = momentNow()
        refresh(this.#io(hash, ttlMs, inside, background, ended), { ...this.#request(inside, ttlMs), extra: this.#facts() })
      })
    }
  }

  /** The workspaces that this session has beside these, and where a sign of life is due. */
  dueBeside(workspaces: readonly string[]): readonly string[] {
    const now = momentNow()
    return this.#directory.hashes().flatMap(hash => {
      const record = this.#directory.glance(hash)
      const workspace = record?.['workspace']
      if (record?.session_id !== this.#claimant.sessionId || typeof workspace !== 'string' || workspaces.includes(workspace)) return []
      return ageMs(record, now) > record.ttl_ms * freshPart ? [workspace] : []
    })
  }

  /** Refreshes every lock of this session, keeping it for background work. */
  keepAll(ttlMs: number, background: Stretch | null): void {
    for (const hash of this.#own()) {
      this.#directory.locked(this.#deadline, () => {
        const inside = momentNow()
        refresh(this.#io(hash, ttlMs, inside, background, null), { ...this.#request(inside, ttlMs), extra: this.#facts() })
      })
    }
  }

  /** How many tool calls of this session were begun and are not known to be over. */
  begun(): number {
    const now = momentNow().clk?.m ?? 0
    const open = (hash: string): number => runningIn(recordOf(this.#directory.read(hash))).filter(({ m }) => m > now).length
    return this.#own().reduce((count, hash) => count + open(hash), 0)
  }

  /** Gives up every lock of this session. */
  releaseAll(): void {
    for (const hash of this.#own()) this.#leave(hash)
  }

  /** Gives up the lock of one workspace, if it is this session's. */
  releaseOne(workspace: string): void {
    const hash = computeWorkspaceHash(workspace)
    if (recordOf(this.#directory.read(hash))?.session_id === this.#claimant.sessionId) this.#leave(hash)
  }

  /** Takes along what this client's process held under another session id. */
  adopt(ttlMs: number): void {
    for (const hash of this.#directory.hashes()) {
      const found = recordOf(this.#directory.read(hash))
      if (found === null || found.session_id === this.#claimant.sessionId || !this.#isOwn(found)) continue
      this.#directory.locked(this.#deadline, () => {
        const again = recordOf(this.#directory.read(hash))
        if (again === null || !this.#isOwn(again)) return
        const inside = momentNow()
        acquire(this.#io(hash, ttlMs, inside, null, null), { ...this.#request(inside, ttlMs), isOwn: () => true, extra: this.#facts() })
      })
    }
  }

  /** The client's process: known when the environment or the processes above us say which it is. */
  get client(): Witness | null {
    this.#client ??= clientOf(this.#claimant)
    return this.#client
  }

  #own(): readonly string[] {
    return this.#directory.hashes().filter(hash => recordOf(this.#directory.read(hash))?.session_id === this.#claimant.sessionId)
  }

  #leave(hash: string): void {
    this.#directory.locked(this.#deadline, () => release(this.#directory.io(hash), this.#claimant.sessionId))
  }

  #request(now: Moment, ttlMs: number): LockRequest {
    return { sessionId: this.#claimant.sessionId, pid: this.client?.pid ?? process.ppid, now, ttlMs }
  }

  #facts(): Readonly<Record<string, unknown>> {
    const { agent, cwd } = this.#claimant
    return {
      host: hostname(),
      boot_id: bootId(),
      pid_ns: pidNamespace(),
      time_ns: timeNamespace(),
      pid_started_at: this.client?.pidStartTicks ?? null,
      cwd: cwd.slice(0, 4096),
      agent,
    }
  }

  /**
   * Claude gives one process a new session id by /clear, /resume and forks: what it held is still its own. Others run several sessions in
   * one process, so there it says nothing.
   */
  #isOwn(record: LockRecord): boolean {
    if (this.#claimant.agent !== 'claude' || record['agent'] !== 'claude') return false
    const [theirs, ours] = [witnessIn(record), this.#claimant.env['CLAUDE_PID'] ? this.client : null]
    return (
      theirs !== null &&
      ours !== null &&
      theirs.pid === ours.pid &&
      theirs.pidStartTicks === ours.pidStartTicks &&
      theirs.bootId === ours.bootId &&
      theirs.pidNs === ours.pidNs &&
      theirs.timeNs === ours.timeNs
    )
  }

  /** Reading and writing with what is ours beside the seed's fields: since when, and what is running. */
  #io(hash: string, ttlMs: number, now: Moment, stretch: Stretch | null, ended: string | null): LockIO {
    const io = this.#directory.io(hash)
    return {
      ...io,
      writeLock: record => {
        const m = now.clk?.m ?? now.wall
        const begun = stretch === null ? [] : [{ id: stretch.id, m: m + stretch.ms }]
        const running = [
          ...runningIn(record).filter(({ id, m: until }) => until > m && id !== ended && id !== stretch?.id),
          ...begun,
        ].slice(-maxRunning)
        const longest = Math.max(ttlMs, ...running.map(({ m: until }) => Math.ceil(until - m)))
        const { running: _, ...rest } = record
        io.writeLock({
          ...rest,
          schema_version: record.schema_version,
          session_id: record.session_id,
          pid: record.pid,
          acquired_at: record.acquired_at,
          ttl_ms: longest,
          since: typeof record['since'] === 'number' ? record['since'] : record.acquired_at,
          ...(running.length === 0 ? {} : { running }),
        })
      },
    }
  }
}

/** Refreshed lately, on our clock, and lasting as long as it has to. */
function isFresh(record: LockRecord, now: Moment, ttlMs: number, stretch: Stretch | null): boolean {
  const clk = clkOf(record)
  if (clk === null || clk.b !== now.clk?.b || ageMs(record, now) > ttlMs * freshPart) return false
  // A shorter time-out in the configuration counts at once, and so does the end of what the lock was stretched for.
  if (runningIn(record).length === 0 && record.ttl_ms !== ttlMs) return false
  return stretch === null || stretch.ms <= remainingMs(record, now)
}

function runningIn(record: LockRecord | null): readonly Running[] {
  const running = record?.['running']
  if (!Array.isArray(running)) return []
  return running.filter((item: Partial<Running> | null): item is Running => typeof item?.id === 'string' && typeof item.m === 'number')
}

/** A parent is not enough: between the client and us there may be a shell. */
function clientOf({ agent, env }: Claimant): Witness | null {
  // Another agent that was started by Claude inherits its variables, and this one is not its process.
  const text = agent === 'claude' ? env['CLAUDE_PID'] : undefined
  if (text !== undefined && /^[1-9][0-9]{0,9}$/.test(text)) return witnessOf(Number(text))
  const found = ancestors(process.pid).find(ancestor => isClient(ancestor, agent))
  return found === undefined ? null : witnessOf(found.pid)
}
