import { closeSync, constants, fstatSync, lstatSync, openSync } from 'node:fs'
import type { Witness } from '../../core/lease.ts'
import { kernelLock } from '../../host/kernel-lock.ts'
import { vitality } from '../../host/process.ts'
import { endings, onSignals } from '../claim/signals.ts'
import type { HeldEntry } from '../identity/held.ts'
import { LockDirectory, removeOwn, runtimeDirectory } from './binding.ts'
import { Guard } from './guard.ts'
import { note } from './journal.ts'
import { isDue, keeperFile, leasesOf, memosOf, readMemo, writeMemo, type Memo } from './memo.ts'
import { elapsedMs, momentNow } from './moment.ts'
import type { Leases, OpenLeases } from './opening.ts'
import type { Client } from './payload.ts'
import { targetsOf, type Repository } from './workspaces.ts'

// While a session works in the background no hook of it may be called for hours. One process a session renews its leases meanwhile. It
// decides nothing of its own: the memos say what is to be kept, and whoever ends the session or its background work ends it by them.

/** What a hook hands to the process that goes on for it. */
export interface Keeping {
  readonly sessionId: string
  readonly agent: Client
  readonly cwd: string
  readonly agentId: string
  readonly session: string
  /** Under which names the session may have taken leases. */
  readonly sessions: readonly string[]
  /** The client; nothing is kept for longer than it runs. */
  readonly client: Witness
  readonly ttlMs: number
  /** For how long the lock is kept each time; null: the client does not say what runs, and begun commands count until their time is over. */
  readonly stretchMs: number | null
}

/** One workspace with leases that are to be kept. */
interface Work {
  readonly file: string
  readonly root: string
  readonly repository: Repository
  readonly entries: readonly HeldEntry[]
  readonly memo: Memo
}

/** How often the client and the memos are looked at, milliseconds. */
const lookMs = 1000
/** Whatever was forgotten is over after a day. */
const longestMs = 86_400_000
/** How long others may keep us waiting. */
const waitMs = 1000

/** Renews until there is nothing to be kept. At once over when another process does it. Leaves no file. */
export async function keepLeases(keeping: Keeping, env: NodeJS.ProcessEnv, open: OpenLeases): Promise<void> {
  const directory = new LockDirectory(runtimeDirectory(env))
  const keeper = new Keeper(directory, keeping, env, open)
  if (!keeper.begin()) return
  const end = (): never => {
    keeper.end()
    process.exit(0)
  }
  onSignals(endings, end)
  try {
    await keeper.run()
  } finally {
    keeper.end()
  }
}

class Keeper {
  readonly #directory: LockDirectory
  readonly #keeping: Keeping
  readonly #env: NodeJS.ProcessEnv
  readonly #open: OpenLeases
  readonly #file: string
  #fd: number | null = null
  #ino = 0
  /** Leases that are lost, by id: the worktree still remembers them. */
  readonly #lost = new Set<string>()
  readonly #opened = new Map<string, Leases>()
  #said = ''

  constructor(directory: LockDirectory, keeping: Keeping, env: NodeJS.ProcessEnv, open: OpenLeases) {
    this.#directory = directory
    this.#keeping = keeping
    this.#env = env
    this.#open = open
    this.#file = keeperFile(directory, keeping.sessionId)
  }

  /** False: another process has it. */
  begin(): boolean {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
    // Under the lock of the directory nobody removes the file between the two steps.
    return this.#directory.locked(elapsedMs() + waitMs, () => {
      const fd = openSync(this.#file, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
      if (!kernelLock().tryExclusive(fd)) {
        closeSync(fd)
        return false
      }
      this.#fd = fd
      this.#ino = fstatSync(fd).ino
      return true
    })
  }

  end(): void {
    if (this.#fd === null) return
    try {
      this.#directory.locked(elapsedMs() + waitMs, () => this.#leave())
    } catch {
      // An empty file stays, and locks nobody out.
    }
  }

  async run(): Promise<void> {
    const { client, ttlMs } = this.#keeping
    // The hook that started us has just refreshed the lock.
    for (let lockAt = elapsedMs() + ttlMs / 5; elapsedMs() < longestMs;) {
      if (vitality(client) === 'dead' || !this.#isOurs()) return
      const works = this.#work()
      if (works.length === 0 && this.#isOver()) return
      let wait = lookMs
      for (const work of works) wait = Math.min(wait, await this.#attempt(work))
      if (elapsedMs() >= lockAt) {
        this.#refreshLock()
        lockAt = elapsedMs() + ttlMs / 5
      }
      await new Promise(resolve => setTimeout(resolve, Math.max(50, wait)))
    }
  }

  /** Whoever finds something to be kept writes that down under the same lock before it starts another process: one of us sees it. */
  #isOver(): boolean {
    return this.#directory.locked(elapsedMs() + waitMs, () => {
      if (this.#work().length > 0) return false
      this.#leave()
      return true
    })
  }

  #leave(): void {
    if (this.#fd === null) return
    if (this.#isOurs()) removeOwn(this.#file)
    closeSync(this.#fd)
    this.#fd = null
  }

  /** The end of the session removes the file; by then a later process may have made its own. */
  #isOurs(): boolean {
    return lstatSync(this.#file, { throwIfNoEntry: false })?.ino === this.#ino
  }

  #work(): readonly Work[] {
    const { sessionId, sessions, stretchMs } = this.#keeping
    if (stretchMs === null && this.#guard().begun() === 0) return []
    return memosOf(this.#directory, sessionId).flatMap(({ file, root }) => {
      const memo = readMemo(file)
      const [target] = memo.background ? targetsOf([], root, true) : []
      // Where a worktree was removed, another one may begin.
      if (target === undefined || target.repository === null || target.root !== root) return []
      const { repository } = target
      const entries = leasesOf(repository, new Set(sessions))
      const isKept = memo.paths.length > 0 || entries.some(({ leaseId }) => !this.#lost.has(leaseId))
      return isKept ? [{ file, root, repository, entries, memo }] : []
    })
  }

  /** Renews what is due, as hooks do; how long nothing is due again, milliseconds. What fails is tried again at the next look. */
  async #attempt(work: Work): Promise<number> {
    const { clk } = momentNow()
    const { memo, entries } = work
    const { due } = memo
    if (due !== null && clk !== null && !isDue(memo, entries, clk)) return due.m - clk.m
    try {
      const next = await this.#renew(work)
      this.#said = ''
      return next
    } catch (error) {
      const { agent } = this.#keeping
      const said = (error as Error).message.split('\n')[0] ?? ''
      // Once, not each second.
      if (said !== this.#said) note(this.#directory.path, `${agent} background ${said}`)
      this.#said = said
      return lookMs
    }
  }

  async #renew({ file, root, repository, entries, memo }: Work): Promise<number> {
    const { sessionId, agentId, session, client: witness } = this.#keeping
    const leases = this.#opened.get(root) ?? (await this.#open(repository, this.#env, { agentId, session, witness, waitMs }))
    this.#opened.set(root, leases)
    const { memo: renewed, lost } = await leases.renew(entries, memo, null, false)
    for (const leaseId of renewed.told) this.#lost.add(leaseId)
    const gone = memo.paths.filter(path => !renewed.paths.includes(path)).map(({ leaseId }) => leaseId)
    this.#directory.locked(elapsedMs() + waitMs, () => {
      // The session may have ended, or a hook may have written, while we were at it.
      if (!this.#directory.has(file)) return
      const now = readMemo(file)
      const paths = now.paths.filter(({ leaseId }) => !gone.includes(leaseId))
      const { due, known, log, stretched } = renewed
      writeMemo(file, root, sessionId, { ...now, due, known, log, stretched, lost, paths })
    })
    const { clk } = momentNow()
    return renewed.due !== null && clk !== null && renewed.due.m > clk.m ? renewed.due.m - clk.m : lookMs
  }

  #refreshLock(): void {
    const { ttlMs, stretchMs } = this.#keeping
    try {
      this.#guard().keepAll(ttlMs, stretchMs === null ? null : { id: 'background', ms: stretchMs })
    } catch {
      // It lasts for longer than until the next time.
    }
  }

  #guard(): Guard {
    const { sessionId, agent, cwd, client } = this.#keeping
    return new Guard(this.#directory, { sessionId, agent, cwd, env: this.#env, client }, elapsedMs() + waitMs)
  }
}
