import type { Caller, Refused } from '../../coordinator.ts'
import type { Lease } from '../../core/lease.ts'
import { refusalCode, wordRefusal } from '../../core/refusal.ts'
import { maxKeyBytes } from '../../core/resource.ts'
import { sha256Hex } from '../../core/sha256.ts'
import { relative } from 'node:path'
import type { Witness } from '../../core/lease.ts'
import type { Workspace } from '../claim/workspace.ts'
import type { HeldEntry } from '../identity/held.ts'
import { findRepository } from '../../host/git.ts'
import { ensureWorktree, readWorktree } from '../identity/worktree.ts'
import { worktreeRoots } from '../identity/worktrees.ts'
import { duePart, logEnd, newsSince } from './log-end.ts'
import { maxTaken, type Memo, type PathLease, type Stretched } from './memo.ts'

/** For whom, and for how long. */
export interface Renewal {
  readonly entries: readonly HeldEntry[]
  readonly memo: Memo
  /** A command that begins now may take this long; null: none does. */
  readonly stretchMs: number | null
  /** A command is over: what was stretched goes back. */
  readonly restore: boolean
  readonly agentId: string
  readonly session: string
  readonly witness: Witness | null
  /** The log of a store on this machine. */
  readonly log: string | null
}

/** What came of it. */
export interface Renewed {
  readonly memo: Memo
  /** Leases that are lost and of which the agent was not told yet: what to say. */
  readonly lost: readonly string[]
}

/** Of a session that writes everywhere, only the latest files stay its own. */
const maxPaths = 64

/** Renews what the session holds here, tickets and files, and says what it has lost. */
export async function renewLeases(workspace: Workspace, renewal: Renewal): Promise<Renewed> {
  const { memo, entries, log } = renewal
  const before = log === null ? null : logEnd(log)
  const lost: string[] = []
  const told: string[] = []
  const stretched: Stretched[] = []
  let shortestMs = 30 * 60_000
  let clock: string | null = null
  let now = 0
  const done = new Set<number>()
  const view = await workspace.coordinator.view()
  for (const { resource, leaseId, token, agentId, session } of entries) {
    // The members of a group have one token, and one renewal is for all of them.
    if (done.has(token)) continue
    done.add(token)
    const lease = view.lease(resource)
    const usual = memo.stretched.find(item => item.leaseId === leaseId)?.ttlSecs ?? (lease?.leaseId === leaseId ? lease.ttlSecs : null)
    const needed = renewal.stretchMs === null ? 0 : Math.ceil(renewal.stretchMs / 1000)
    const ttlSecs = usual === null || usual === 0 ? undefined : Math.max(usual, needed)
    const answer = await workspace.coordinator.renew(callerOf(workspace, agentId, session), {
      target: { resource },
      presented: { leaseId, token },
      heartbeat: ttlSecs === undefined || ttlSecs === lease?.ttlSecs,
      ...(ttlSecs === undefined || ttlSecs === lease?.ttlSecs ? {} : { ttlSecs }),
    })
    clock = answer.now.b
    now = answer.now.m
    if (answer.ok) {
      for (const renewed of answer.leases) if (renewed.ttlSecs > 0) shortestMs = Math.min(shortestMs, renewed.ttlSecs * 1000)
      if (usual !== null && ttlSecs !== undefined && ttlSecs > usual) stretched.push({ leaseId, ttlSecs: usual })
    } else if (isLost(answer)) {
      const gone = entries.filter(other => other.token === token)
      told.push(...gone.map(other => other.leaseId))
      if (!memo.told.includes(leaseId)) lost.push(wordsOf(answer, gone))
    }
  }
  const paths: PathLease[] = []
  for (const path of memo.paths.slice(-maxPaths)) {
    const answer = await workspace.coordinator.renew(callerOf(workspace, renewal.agentId, renewal.session), {
      target: { resource: path.resource },
      presented: { leaseId: path.leaseId, token: path.token },
      heartbeat: true,
    })
    clock = answer.now.b
    now = answer.now.m
    if (!answer.ok) continue
    paths.push(path)
    for (const renewed of answer.leases) if (renewed.ttlSecs > 0) shortestMs = Math.min(shortestMs, renewed.ttlSecs * 1000)
  }
  const due = clock === null ? memo.due : { b: clock, m: now + shortestMs * duePart, span: shortestMs * duePart }
  const known = entries.map(({ leaseId }) => leaseId)
  // What we have just written is no news; what others wrote between may be.
  const news = before === null ? null : newsSince(before, entries, due?.span ?? 0)
  return { memo: { ...memo, due, known, log: news === null || news.ours ? before : news.end, told, lost, stretched, paths }, lost }
}

/** What of the files is somebody else's, in words; null: all are ours now. */
export async function takePaths(
  workspace: Workspace,
  files: readonly string[],
  ttlMs: number,
  who: Pick<Renewal, 'agentId' | 'session' | 'witness'>,
): Promise<{ readonly taken: readonly PathLease[]; readonly refused: string | null }> {
  const { worktreeId } = ensureWorktree(workspace.repository)
  const resources = [...new Set(files.map(file => keyOf(workspace, worktreeId, file)))].slice(0, maxTaken)
  const holder = { agentId: who.agentId, worktreeId, sessionId: who.session, witness: who.witness }
  const answer = await workspace.coordinator.acquire(
    { holder },
    { resources, ttlSecs: Math.ceil(ttlMs / 1000), reason: 'written by an agent’s tool' },
  )
  if (answer.ok) return { taken: answer.leases.map(({ resource, leaseId, token }) => ({ resource, leaseId, token })), refused: null }
  const { refusal } = answer
  const lease = 'lease' in refusal ? refusal.lease : null
  if (refusalCode(refusal) !== 'held' || lease === null) throw new Error(wordRefusal(refusal, answer.now).message)
  return { taken: [], refused: conflictWords(lease, answer.now) }
}

/** Gives back the files of a session. Never says no: what is gone is gone. */
export async function releasePaths(
  workspace: Workspace,
  paths: readonly PathLease[],
  who: Pick<Renewal, 'agentId' | 'session'>,
): Promise<void> {
  for (const { resource, leaseId, token } of paths) {
    await workspace.coordinator.release(callerOf(workspace, who.agentId, who.session), {
      target: { resource },
      presented: { leaseId, token },
    })
  }
}

/** Who else writes one of the files that this is true of, in words; null: nobody. A file whose path is too long for a key is not known. */
export async function othersIn(
  workspace: Workspace,
  isMeant: (file: string) => boolean,
  { session }: Pick<Renewal, 'session'>,
): Promise<string | null> {
  const view = await workspace.coordinator.view()
  let tops: ReadonlyMap<string, string> | undefined
  for (const lease of view.all()) {
    const [, worktreeId = '', file = ''] = /^wpath:([^/]+)\/(.+)$/s.exec(lease.resource) ?? []
    if (file === '' || lease.holder.sessionId === session || view.lapse(lease).state === 'over') continue
    const top = (tops ??= topsOf(workspace)).get(worktreeId)
    if (top !== undefined && isMeant(`${top}/${file}`)) return conflictWords(lease, view.now)
  }
  return null
}

/** Where the worktrees of the repository are, by their ids. */
function topsOf({ repository }: Workspace): ReadonlyMap<string, string> {
  const found = worktreeRoots(repository).flatMap((root): [string, string][] => {
    try {
      return [[readWorktree(findRepository(root, {})).worktreeId, root]]
    } catch {
      // It is damaged, or gone: nobody writes there.
      return []
    }
  })
  return new Map(repository.root === null ? found : [...found, [readWorktree(repository).worktreeId, repository.root]])
}

function callerOf(workspace: Workspace, agentId: string, sessionId: string | null): Caller {
  return { holder: { agentId, worktreeId: readWorktree(workspace.repository).worktreeId, sessionId, witness: null } }
}

const isLost = ({ refusal }: Refused): boolean => ['superseded', 'not_found', 'not_owner'].includes(refusalCode(refusal))

function wordsOf({ refusal, now }: Refused, gone: readonly HeldEntry[]): string {
  const { message, hint } = wordRefusal(refusal, now)
  const names = gone.map(({ resource }) => resource)
  return `your lease of ${names.join(', ')} is lost, so this write was stopped once: ${message}\nnext: ${hint === undefined || hint === '' ? `lh why ${names[0]}` : hint}`
}

function conflictWords(lease: Lease, now: Refused['now']): string {
  const name = lease.resource.slice(lease.resource.indexOf('/') + 1)
  const left =
    lease.deadlineM === null
      ? ''
      : `; it ends when that session ends, or in ${Math.max(0, Math.round((lease.deadlineM - now.m) / 1000))} s without a sign of it`
  return `${name} is being written by another session: ${lease.holder.sessionId ?? lease.holder.agentId} — write other files, or wait${left}\nwho and why: lh claim list`
}

/** `wpath:<worktree>/<path>`; of a path too long for a key, its hash. */
function keyOf(workspace: Workspace, worktreeId: string, file: string): string {
  const path = relative(workspace.repository.root ?? '/', file).normalize('NFC')
  const folded = workspace.repository.ignoreCase ? path.toLowerCase().normalize('NFC') : path
  const key = `wpath:${worktreeId}/${folded}`
  const plain = Buffer.byteLength(key) <= maxKeyBytes && !/[\p{Cc}\p{Cf}\p{Surrogate}\ufffd\u2028\u2029]/u.test(folded)
  return plain ? key : `wpath:${worktreeId}/#${sha256Hex(Buffer.from(folded), 32)}`
}
