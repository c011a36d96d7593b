import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { isFault } from '../../core/fault.ts'
import type { Holder } from '../../core/lease.ts'
import { wordRefusal } from '../../core/refusal.ts'
import { storeDirectory } from '../../host/paths.ts'
import { writeFileAtomic } from '../../host/files.ts'
import type { Reading } from '../../store/store.ts'
import type { Identity, Workspace } from '../claim/workspace.ts'
import { readHeld } from '../identity/held.ts'
import type { HeldEntry } from '../identity/held.ts'
import { readWorktree } from '../identity/worktree.ts'
import type { CommitVerdict, Objection, Proof, Standing } from './commit.ts'
import { judgeCommit, needsLog, standingOf, ticketsIn } from './commit.ts'
import { branchIn, changedFiles, commitsHere, currentBranch, currentBranchKey, isReplaying, newTrios } from './git-facts.ts'
import type { PushedRef } from './git-facts.ts'
import type { Level } from './level.ts'
import { levelFor, parseBranchLevels } from './level.ts'
import { chronicleOf } from './ownership.ts'
import type { PushedTrio } from './push.ts'
import { judgePush, wordLost } from './push.ts'

// Gathers what the rules need, lets them judge, and does what follows: a late renewal, words, a level.

/** What a hook is told. */
export interface HookSetting {
  readonly workspace: Workspace
  /** Where Git started the hook. */
  readonly cwd: string
  /** The environment that Git gave the hook; its children need all of it. */
  readonly env: NodeJS.ProcessEnv
}

/** What a hook says and does. */
export interface Judgement {
  readonly refusals: readonly Objection[]
  readonly warnings: readonly string[]
}

const nothing: Judgement = { refusals: [], warnings: [] }

/** The level for a branch, by the configuration. */
export function configuredLevel({ config }: Workspace, branch: string | null): Level {
  const branches = config.get('enforce.branches')
  return levelFor(branch, config.get('enforce'), branches === null ? [] : parseBranchLevels(branches, 'enforce.branches'))
}

/** What `level` makes of objections. */
const at = (level: Level, refusals: readonly Objection[], warnings: readonly string[]): Judgement =>
  level === 'strict'
    ? { refusals, warnings }
    : { refusals: [], warnings: [...refusals.map(({ message, hint }) => `${message}; ${hint}`), ...warnings] }

// ── commit ──

/** May what is staged be committed here? `staged`: its names, where they are known already. */
export async function checkCommit(setting: HookSetting, staged: readonly string[] | null): Promise<Judgement> {
  const { workspace, cwd, env } = setting
  const { repository } = workspace
  const level = configuredLevel(workspace, currentBranch(repository))
  if (level === 'off') return nothing
  const mark = logMark(workspace)
  const changed = changedFiles(cwd, repository, env, staged)
  const view = await workspace.coordinator.view()
  const committer = await Committer.of(setting, view)
  const replaying = isReplaying(repository)
  const branch = currentBranchKey(repository)
  const { purpose, worktreeId } = readWorktree(repository)
  const ticket = purpose?.ticket ?? null
  const resources = [...(ticket === null ? [] : [ticket]), ...(replaying ? [] : ticketsIn(changed))].map(id => `ticket:${id}`)
  const standings = await committer.standings([...resources, ...(branch === null ? [] : [branch])])
  const paths = [...view.paths()].map(lease => committer.standing(lease.resource, null))
  const verdict = judgeCommit({
    changed,
    replaying,
    branch,
    purpose: ticket,
    worktreeId,
    ignoreCase: repository.ignoreCase,
    paths,
    standing: resource => standings.get(resource) ?? { kind: 'free' },
    now: view.now,
  })
  if (verdict.objections.length === 0 && paths.length === 0 && committer.isBare) noteQuiet(workspace, view, mark)
  const late = await renewLate(workspace, verdict, committer)
  return at(level, [...verdict.objections, ...late.refusals], late.warnings)
}

/** Who commits, and what they can show. */
class Committer {
  readonly #view: Reading
  readonly #identity: Identity | null
  readonly #entries: ReadonlyMap<string, HeldEntry>
  readonly #setting: HookSetting

  private constructor(setting: HookSetting, view: Reading, identity: Identity | null, entries: ReadonlyMap<string, HeldEntry>) {
    this.#setting = setting
    this.#view = view
    this.#identity = identity
    this.#entries = entries
  }

  static async of(setting: HookSetting, view: Reading): Promise<Committer> {
    // Nobody need be named to commit.
    const identity = await setting.workspace.identify('look').catch(() => null)
    return new Committer(setting, view, identity, readHeld(setting.workspace.repository).entries)
  }

  get holder(): Holder | null {
    return this.#identity?.holder ?? null
  }

  /** Neither the environment nor a note has anything to show. */
  get isBare(): boolean {
    return this.#entries.size === 0 && !this.#setting.env['LEASEHOLD_TOKEN']
  }

  /** What `exec` exported, else what this worktree noted for this agent. */
  proof(resource: string): Proof | null {
    const { LEASEHOLD_TOKEN, LEASEHOLD_LEASE, LEASEHOLD_RESOURCES } = this.#setting.env
    const entry = this.#entries.get(resource)
    if (/^[1-9]\d{0,14}$/.test(LEASEHOLD_TOKEN ?? '')) {
      const token = Number(LEASEHOLD_TOKEN)
      const named = LEASEHOLD_RESOURCES?.split('\n').filter(each => each !== '')
      if (named === undefined ? entry?.token === token : named.includes(resource))
        return { leaseId: named?.length === 1 ? (LEASEHOLD_LEASE ?? null) : null, token }
    }
    return entry !== undefined && this.#mayShow(entry) ? { leaseId: entry.leaseId, token: entry.token } : null
  }

  /** A note is its own agent's. Somebody whom only Git's `user.name` names may be that agent: nothing says who runs this command. */
  #mayShow(entry: HeldEntry): boolean {
    const identity = this.#identity
    return identity === null || entry.agentId === identity.holder.agentId || identity.origins.agent === 'git user.name'
  }

  standing(resource: string, ownership: Parameters<typeof standingOf>[0]['ownership']): Standing {
    const view = this.#view
    const [lease, past] = [view.lease(resource), view.past(resource)]
    return standingOf({ resource, lease, past, proof: this.proof(resource), ownership, me: this.holder, now: view.now })
  }

  /** How resources stand; the log is read only for notes that are older than what the state remembers. */
  async standings(resources: readonly string[]): Promise<ReadonlyMap<string, Standing>> {
    const view = this.#view
    const old = resources.filter(resource => {
      const proof = this.proof(resource)
      return needsLog({ lease: view.lease(resource), past: view.past(resource), proof })
    })
    const log = old.length === 0 ? null : await chronicleOf(this.#setting.workspace.store.history(), new Set(old))
    return new Map(
      resources.map(resource => {
        const token = this.proof(resource)?.token
        const ownership = log?.ownerships(resource).find(each => each.token === token) ?? null
        return [resource, this.standing(resource, ownership)]
      }),
    )
  }
}

/** Expired, and nobody took it: the holder renews late and goes on. Where that cannot be written the push will tell. */
async function renewLate({ coordinator }: Workspace, { renew }: CommitVerdict, committer: Committer): Promise<Judgement> {
  const refusals: Objection[] = []
  const warnings: string[] = []
  for (const lease of renew) {
    try {
      const answer = await coordinator.guard(
        { holder: committer.holder ?? lease.holder },
        {
          target: { resource: lease.resource },
          presented: { leaseId: lease.leaseId, token: lease.token },
          effect: () => undefined,
        },
      )
      if (!answer.ok) refusals.push(wordRefusal(answer.refusal, answer.now))
    } catch (error) {
      warnings.push(`your lease of ${lease.resource} has expired and could not be renewed: ${reasonOf(error)}`)
    }
  }
  return { refusals, warnings }
}

/** What tells one state of the log from another, as `ls -li` shows it: inode and size of a file that only grows. */
function logMark({ repository }: Workspace): string | null {
  const stats = lstatSync(join(storeDirectory(repository.commonDir), 'claims.jsonl'), { throwIfNoEntry: false })
  return stats === undefined ? null : `${stats.ino} ${stats.size}`
}

/** Name of the file that tells the installed script of which log it is known that no `path:` and no `branch:` is held. */
const quietFile = 'hooks.quiet'

/** Notes that nobody holds a path or a branch: as long as the log is this one, commits need not ask. */
function noteQuiet(workspace: Workspace, view: Reading, mark: string | null): void {
  if (mark === null || workspace.config.get('store') !== 'file:' || mark !== logMark(workspace)) return
  for (const { resource } of view.all()) if (resource.startsWith('branch:') || resource.startsWith('path:')) return
  const { commonDir, shared } = workspace.repository
  try {
    writeFileAtomic(join(storeDirectory(commonDir), quietFile), `${mark}\n`, shared ? 0o660 : 0o600)
  } catch {
    // The next commit asks again.
  }
}

// ── push ──

/** A push as a hook sees it. */
export interface Push extends HookSetting {
  readonly refs: readonly PushedRef[]
  /** Arguments for Git that name what the other side has. */
  readonly known: readonly string[]
}

/** May these commits go to the remote? */
export async function checkPush({ workspace, cwd, env, refs, known }: Push): Promise<Judgement> {
  const levels = new Map(refs.map(({ ref }) => [ref, configuredLevel(workspace, branchIn(ref))]))
  if ([...levels.values()].every(level => level === 'off')) return nothing
  const here = commitsHere(cwd, env, [...new Set(refs.flatMap(({ newId, oldId }) => [newId, oldId]))])
  const old = [...new Set(refs.map(({ oldId }) => oldId))].filter(id => here.has(id))
  const triosOf = (level: Level): readonly PushedTrio[] => {
    const ids = refs.filter(({ ref, newId }) => levels.get(ref) === level && here.has(newId)).map(({ newId }) => newId)
    return newTrios(cwd, env, [...new Set(ids)], old, known)
  }
  const [strict, warn] = [triosOf('strict'), triosOf('warn')]
  // Nobody claims to have worked under a lease: then no store need be asked.
  if (strict.length + warn.length === 0) return nothing
  const carried = [...strict, ...warn, ...triosOf('off')]
  try {
    return await judgeTrios(workspace, strict, warn, carried)
  } catch (error) {
    if (!isFault(error) || error.code !== 'unavailable') throw error
    return at(strict.length > 0 ? 'strict' : 'warn', [unavailable(error.message, error.hint)], [])
  }
}

/** What is said when the log cannot be read. */
export const unavailable = (message: string, hint: string | undefined): Objection => ({
  message: `nobody can tell whether this work is still its pusher’s: ${message}`,
  hint: hint === undefined || hint === '' ? 'see: lh doctor' : hint,
})

async function judgeTrios(
  workspace: Workspace,
  strict: readonly PushedTrio[],
  warn: readonly PushedTrio[],
  carried: readonly PushedTrio[],
): Promise<Judgement> {
  const view = await workspace.coordinator.view()
  // What is still current needs no look at the log.
  const isOpen = ({ ticket, leaseId }: PushedTrio): boolean => view.lease(`ticket:${ticket}`)?.leaseId !== leaseId
  const open = new Set(carried.filter(isOpen).map(({ ticket }) => `ticket:${ticket}`))
  for (const trio of carried) if (!isOpen(trio)) open.delete(`ticket:${trio.ticket}`)
  if (open.size === 0) return nothing
  const log = await chronicleOf(workspace.store.history(), open)
  const isAsked = ({ ticket }: PushedTrio): boolean => open.has(`ticket:${ticket}`)
  const judged = [strict, warn].map(trios => judgePush(trios.filter(isAsked), carried, log))
  const [refused, warned] = judged.map(({ lost }) => lost.map(work => wordLost(work, view.now.wall)))
  const unknown = [...new Set(judged.flatMap(verdict => verdict.unknown.map(({ ticket }) => ticket)))]
  const allowed = judged.flatMap(verdict => verdict.allowed.map(({ ticket, trio }) => `${ticket} (token ${trio.token})`))
  return {
    refusals: refused ?? [],
    warnings: [
      ...(warned ?? []).map(({ message, hint }) => `${message}; ${hint}`),
      ...(unknown.length === 0 ? [] : [`this log does not know the leases that these commits name, so they pass: ${shortened(unknown)}`]),
      ...(allowed.length === 0 ? [] : [`let through by somebody’s word, as the log says: ${shortened(allowed)}`]),
    ],
  }
}

const shortened = (names: readonly string[]): string =>
  names.length <= 5 ? names.join(', ') : `${names.slice(0, 5).join(', ')} and ${names.length - 5} more`

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
