import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { notFound, usage } from '../../core/fault.ts'
import type { Wire } from '../../core/wire.ts'
import { shellWord } from '../../core/shell-word.ts'
import { findRepository } from '../../host/git.ts'
import { processState } from '../../host/process.ts'
import { LockDirectory, runtimeDirectory } from './binding.ts'
import { note } from './journal.ts'
import { childrenOf, clientVitality } from './life.ts'
import { computeWorkspaceHash } from './lock.ts'
import { elapsedMs, momentNow } from './moment.ts'
import { ageMs, recordOf, remainingMs, type LockRecord } from './record.ts'
import { spanOf } from './words.ts'

/** How long a person waits for hooks that are writing, milliseconds. */
const patienceMs = 5000

/** The workspace that somebody means: `.`, a path in it, or none for where they are. Throws `usage`. */
export function workspaceNamed(text: string, directory: string): string {
  const name = text.startsWith('workspace:') ? text.slice('workspace:'.length) : text
  const path = resolve(directory, name === '' ? '.' : name)
  try {
    const { root } = findRepository(path, {})
    if (root !== null) return root
  } catch {
    // Outside Git a directory is a workspace of its own.
  }
  try {
    return realpathSync.native(path)
  } catch {
    throw usage(`there is no directory ${path}`, 'lh session-lock status [<directory>]')
  }
}

/** What is known of who takes the lock of a workspace. */
export interface Takers {
  /** `session_lock.enabled` */
  readonly enabled: boolean
  /** Has any agent hooks of ours, as far as can be seen? */
  readonly hooks: boolean
}

/**
 * `lh session-lock status`, `lh why workspace:…`: who has it, what proves that they live, what frees it, and the next command. Throws
 * `unavailable` when there is no place for a lock.
 */
export function explainLock(workspace: string, env: NodeJS.ProcessEnv, takers: Takers = { enabled: true, hooks: true }): Wire {
  const directory = new LockDirectory(runtimeDirectory(env))
  const hash = computeWorkspaceHash(workspace)
  const facts = { ok: true, resource: `workspace:${workspace}`, workspace, file: directory.file(hash) }
  directory.inspect(hash)
  const record = recordOf(directory.read(hash))
  if (record === null) {
    return {
      ...facts,
      standing: 'free',
      session_lock: null,
      evidence: ['no session has it'],
      frees_when: 'it is free now',
      next: nextOfFree(takers),
    }
  }
  const now = momentNow()
  const remaining = remainingMs(record, now)
  const alive = clientVitality(record)
  const children = alive === 'dead' ? childrenOf(record) : 'unknown'
  const dead = alive === 'dead' && children === 'absent'
  const expired = remaining <= 0
  return {
    ...facts,
    standing: dead ? 'dead' : expired ? 'expired' : 'live',
    session_lock: lockToWire(record, remaining),
    evidence: evidenceOf(record, ageMs(record, now), alive, children),
    frees_when:
      dead || expired
        ? 'at the next tool call of any session that writes here'
        : `when that session stops or ends, or in ${spanOf(remaining)} without a sign of it${alive === 'alive' ? ', or when its client is gone with all it started' : ''}`,
    next: dead || expired ? nextOfFree(takers) : `lh session-lock release --force --reason "…" ${shellWord(workspace)}`,
  }
}

function nextOfFree({ enabled, hooks }: Takers): string {
  if (!enabled) return 'nothing takes it: session_lock.enabled is false; who said so: lh config explain session_lock.enabled'
  if (!hooks) return 'no agent’s hooks were found that would take it: lh hooks install <agent>'
  return 'nothing: the hook of the next tool call that writes takes it'
}

/** What is shown of a lock wherever it is shown. */
function lockToWire(record: LockRecord, remaining: number): Wire {
  const { host, cwd, agent, since } = record
  return {
    session_id: record.session_id,
    pid: record.pid,
    agent: typeof agent === 'string' ? agent : null,
    host: typeof host === 'string' ? host : null,
    cwd: typeof cwd === 'string' ? cwd : null,
    acquired_at: iso(record.acquired_at),
    since: iso(typeof since === 'number' ? since : record.acquired_at),
    ttl_ms: record.ttl_ms,
    remaining_ms: Math.max(0, Math.round(remaining)),
  }
}

function evidenceOf(record: LockRecord, age: number, alive: string, children: string): readonly string[] {
  const state = alive === 'alive' && /[Tt]/.test(processState(record.pid) ?? '') ? 'alive, but stopped' : alive
  const proof =
    typeof record['pid_started_at'] === 'number'
      ? `its client, process ${record.pid}, is ${state === 'unknown' ? 'not to be seen from here' : state}`
      : `which process it is, is not known for certain (pid ${record.pid}), so only time can show that it is gone`
  const left = {
    present: ['something that it started still runs'],
    absent: ['nothing that it started runs any more'],
    unknown: alive === 'dead' ? ['whether something that it started still runs cannot be told'] : [],
  }
  const { running } = record
  const busy = Array.isArray(running) && running.length > 0 ? [`${running.length} of its commands may still run`] : []
  return [`last sign of life ${spanOf(age)} ago`, proof, ...(left[children as keyof typeof left] ?? []), ...busy]
}

/** What became of a release by a person's word. */
export interface Released {
  readonly document: Wire
  readonly previous: LockRecord
}

/**
 * Ends a session's lock by a person's word, and notes it beside the locks. Throws `not_found` when nobody has it, `unavailable` when there is
 * no place for a lock.
 */
export function releaseByForce(workspace: string, env: NodeJS.ProcessEnv, actor: string, reason: string): Released {
  const directory = new LockDirectory(runtimeDirectory(env))
  const hash = computeWorkspaceHash(workspace)
  const previous = directory.locked(elapsedMs() + patienceMs, () => {
    directory.inspect(hash)
    const io = directory.io(hash)
    const record = recordOf(io.readLock())
    if (record !== null) io.deleteLock()
    return record
  })
  if (previous === null) throw notFound(`no session has the lock of ${workspace}`, 'see: lh session-lock status')
  note(directory.path, `- release --force ${workspace}, held by ${previous.session_id} (pid ${previous.pid}), by ${actor}: ${reason}`)
  const wire = lockToWire(previous, remainingMs(previous, momentNow()))
  return { document: { ok: true, workspace, released: wire, actor, reason }, previous }
}

/** The key under which a forced release stands in the repository's log: `workspace:` is refused there, since no claim holds it. */
export const logKey = (workspace: string): string => `session-lock:${computeWorkspaceHash(workspace)}`

/** A file may hold any number. */
function iso(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString()
}
