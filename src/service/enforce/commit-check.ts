import { lstatSync } from 'node:fs'
import { join } from 'node:path'
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
import { changedFiles, currentBranch, currentBranchKey, isReplaying } from './git-facts.ts'
import type { Level } from '../config/enforce-level.ts'
import { levelFor, parseBranchLevels } from '../config/enforce-level.ts'
import { chronicleOf } from './ownership.ts'

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

/** Nothing to say. */
export const nothing: Judgement = { refusals: [], warnings: [] }

/** The level for a branch, by the configuration. */
export function configuredLevel({ config }: Workspace, branch: string | null): Level {
  const branches = config.get('enforce.branches')
  return levelFor(branch, config.get('enforce'), branches === null ? [] : parseBranchLevels(branches, 'enforce.branches'))
}

/** What `level` makes of objections. */
export const at = (level: Level, refusals: readonly Objection[], warnings: readonly string[]): Judgement =>
  level === 'strict'
    ? { refusals, warnings }
    : { refusals: [], warnings: [...refusals.map(({ message, hint }) => `${message}; ${hint}`), ...warnings] }

// ── commit ──

/** A merge, cherry-pick or revert that no file tells of yet. */
export interface Replay {
  /** What is merged; null when it is no merge. */
  readonly parents: readonly string[] | null
}

/** May what is staged be committed here? `staged`: its names, where they are known already. */
export async function checkCommit(
  setting: HookSetting,
  staged: readonly string[] | null,
  replay: Replay | null = null,
): Promise<Judgement> {
  const { workspace, cwd, env } = setting
  const { repository } = workspace
  const level = configuredLevel(workspace, currentBranch(repository))
  if (level === 'off') return nothing
  const mark = logMark(workspace)
  const changed = changedFiles(cwd, repository, env, staged, replay?.parents ?? undefined)
  const view = await workspace.coordinator.view()
  // A store that is a copy says who held what once. Where it says nothing, nothing is in doubt.
  if (view.doubt !== undefined && [...view.all()].length > 0) throw view.doubt
  const committer = await Committer.of(setting, view)
  const replaying = replay !== null || isReplaying(repository)
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

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
