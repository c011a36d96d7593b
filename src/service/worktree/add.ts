import { existsSync, lstatSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { Fault, isFault, notFound, policy, usage } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { Holder, Lease } from '../../core/lease.ts'
import { endOfTime, isOver } from '../../core/ownership.ts'
import type { Refusal } from '../../core/refusal.ts'
import { refusalDocument } from '../claim/answer.ts'
import { makeDirectory, isReadOnly } from '../../host/files.ts'
import { findRepository, runGitToItsEnd } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import { hasBranches, missingBase, noCommitYet } from '../config/base-branch.ts'
import { branchKey } from '../identity/purpose.ts'
import { foundWorktree } from '../identity/worktree.ts'
import type { Purpose } from '../identity/worktree.ts'
import { keyOf } from '../ticket/desk.ts'
import type { Desk } from '../ticket/desk.ts'
import type { Reading } from '../../store/store.ts'
import { refuseUnclaimable } from '../ticket/spelling.ts'
import { ensureUnion, exclude } from './attributes.ts'
import { astray, isInside, linkedDirectories, listEntries, realPath, repositoryGit } from './entries.ts'
import type { Entry } from './entries.ts'
import { at, few, filesBelow, shown } from './files.ts'
import { cleanEnvironment, Git, gitFailed, pause, persist } from './git.ts'
import { beginPlan, leftPlans } from './plan.ts'
import type { LeftPlan, Plan } from './plan.ts'
import { homeOf, mainTop, subjectOf } from './layout.ts'
import type { Subject } from './layout.ts'
import { removalOf } from './removal-note.ts'
import { inTurn } from './turn.ts'
import { workersIn, workersOf } from './workers.ts'

export interface AddRequest {
  /** A ticket in any spelling, or a free name. */
  readonly name: string
  /** Absolute, or relative to `directory`. */
  readonly path?: string | undefined
  readonly branch?: string | undefined
  readonly base?: string | undefined
  /** Also refuse a ticket that the caller holds: the worktree is for somebody else, or for the caller anew. */
  readonly unheld?: boolean | undefined
  /** Where the caller stands. */
  readonly directory: string
  readonly env: NodeJS.ProcessEnv
}

/** A worktree that is there now. */
export interface Added {
  readonly repository: Repository
  readonly path: string
  readonly worktreeId: string
  readonly purpose: Purpose
  /** It was there before; nothing was made. */
  readonly already: boolean
  /** Its branch came with it, so it starts where `purpose.base` is; else the branch was there, with commits of its own perhaps. */
  readonly madeBranch: boolean
  readonly warnings: readonly string[]
}

/** What a new worktree is made from. */
interface Start {
  readonly commit: string
  /** The branch that its work is to go to; null when it starts from no branch. */
  readonly base: string | null
}

/**
 * Makes a worktree for a ticket or under a free name, or finds the one that was made. A failure leaves nothing behind; after a crash the
 * same command clears up and goes on. Throws `held` for a ticket or branch that somebody else has, `policy` for a ticket that is over.
 */
export async function addWorktree(desk: Desk, holder: Holder, request: AddRequest): Promise<Added> {
  const { repository } = desk.workspace
  const subject = await subjectOf(desk, request.name)
  const left = leftPlans(repository).find(({ plan }) => plan.ticket === subject.ticket && subject.names.includes(plan.name))
  if (left !== undefined) await inTurn(repository, () => resume(repository, left, request.env))
  const present = await madeFor(desk, holder, subject, request)
  if (present !== null) return present
  if (subject.ticket !== null) await refuseTaken(desk, holder, subject.ticket, request.unheld === true)
  const start = await startOf(desk, request)
  const made = await inTurn(
    repository,
    async () => (await madeFor(desk, holder, subject, request)) ?? (await begin(desk, holder, subject, start, request)),
  )
  if ('already' in made) return made
  const added = await finish(desk, made, request.env)
  const warning = subject.ticket === null ? null : await lacking(added, subject.ticket, request.env)
  return warning === null ? added : { ...added, warnings: [...added.warnings, warning] }
}

/** What changes a ticket in a worktree that came without it begins its file a second time, and Git merges no two beginnings. */
async function lacking({ path, purpose: { base } }: Added, id: string, env: NodeJS.ProcessEnv): Promise<string | null> {
  const file = `.leasehold/tickets/${id}/ticket.md`
  // A sparse checkout has no file of what is committed.
  if (existsSync(join(path, file)) || (await new Git(path, env).resolve(`HEAD:${file}`)) !== null) return null
  const bring = base === null ? '' : ` && git -C ${shellWord(path)} merge ${shellWord(base)}`
  return (
    `${id} is not committed on ${base ?? 'what its worktree was made from'}: what changes it there will not merge with what is here; ` +
    `before anything does: git add .leasehold .gitattributes && git commit -m "Tickets"${bring}`
  )
}

const isHalf = ({ gitDir, present }: Entry): boolean => removalOf(gitDir) !== null || !present

/** Somebody deleted the directory, or a removal was cut short. What is committed on its branch is not lost with it. */
const half = ({ path, present, identity }: Entry, name: string, then: string): Fault =>
  policy(
    `there was a worktree for ${name}, but ${present ? 'it is half removed' : `its directory ${path} is gone`}`,
    `finish removing it; its branch stays while it has work of its own: lh worktree remove ${identity.worktreeId} --salvage; then: ${then}`,
  )

/** Throws `policy` where the worktree of a ticket is half gone, and `held` where somebody else has the ticket. */
export async function refuseHalfGone(desk: Desk, holder: Holder, id: string, env: NodeJS.ProcessEnv): Promise<void> {
  const entries = await listEntries(desk.workspace.repository, env)
  const entry = entries.find(({ main, identity }) => !main && identity.purpose?.ticket === id)
  if (entry?.astray === true) throw astray(entry)
  if (entry === undefined || !isHalf(entry)) return
  await refuseHeld(desk, holder, keyOf(id))
  throw half(entry, id, `lh work ${id}`)
}

/** The worktree that was made for this before. Throws `policy` for one that is half removed, or asked for in another place. */
async function madeFor(desk: Desk, holder: Holder, subject: Subject, request: AddRequest): Promise<Added | null> {
  const { repository } = desk.workspace
  const entries = await listEntries(repository, request.env)
  const entry = entries.find(({ main, identity }) => !main && isFor(identity.purpose, subject, desk))
  if (entry === undefined) return null
  if (entry.astray) throw astray(entry)
  const { path, identity } = entry
  if (isHalf(entry)) {
    if (subject.ticket !== null) await refuseHeld(desk, holder, keyOf(subject.ticket))
    throw half(entry, request.name, `lh worktree add ${shellWord(request.name)}`)
  }
  const { branch, base } = identity.purpose!
  const elsewhere = request.path !== undefined && realPath(resolve(request.directory, request.path)) !== path
  const otherwise = request.branch !== undefined && request.branch !== branch
  if (elsewhere || otherwise || (await startsElsewhere(desk, entry, request)))
    throw policy(
      `there is a worktree for ${request.name} already: ${path} on ${branch}${base === null ? '' : `, whose work goes to ${base}`}`,
      `use that one, or remove it first: lh worktree remove ${identity.worktreeId}`,
    )
  const own = findRepository(path, {})
  const warnings = identity.warning === undefined ? [] : [identity.warning]
  return { repository: own, path, worktreeId: identity.worktreeId, purpose: identity.purpose!, already: true, madeBranch: false, warnings }
}

/** Is another start asked for than it has? One that is no branch is not noted; its commit is in the work then. */
async function startsElsewhere(desk: Desk, { head, identity }: Entry, request: AddRequest): Promise<boolean> {
  if (request.base === undefined) return false
  const { commit, base } = await startOf(desk, request)
  if (base !== identity.purpose!.base) return true
  return base === null && (head === null || !(await isIn(repositoryGit(desk.workspace.repository, request.env), commit, head)))
}

const isIn = async (git: Git, commit: string, of: string): Promise<boolean> =>
  (await git.try(['merge-base', '--is-ancestor', commit, of])).status === 0

function isFor(purpose: Purpose | null, { ticket, names }: Subject, desk: Desk): boolean {
  if (purpose === null || purpose.ticket !== ticket) return false
  return ticket !== null || purpose.branch === `${desk.workspace.config.get('worktree.branch_prefix')}${names[0]}`
}

/** Throws for a ticket that is over or blocked, and for one that somebody else holds, naming who. `unheld`: or the caller itself. */
async function refuseTaken(desk: Desk, holder: Holder, id: string, unheld: boolean): Promise<void> {
  if (desk.catalogue.locate(id) === null) throw notFound(`There is no ticket ${JSON.stringify(id)}.`, 'See: lh ticket list')
  await refuseHeld(desk, holder, keyOf(id), unheld)
  await refuseUnclaimable(desk, id)
}

async function refuseHeld(desk: Desk, holder: Holder, key: string, unheld = false): Promise<void> {
  const view = await desk.view()
  const reservation = view.reservation(key)
  // What a killed launcher left is ended by the next launch, and a launched agent is told apart by its own session.
  if (reservation?.launcherAlive === true && reservation.launchId !== holder.sessionId)
    throw refused({ kind: 'reserved', reservation }, view)
  const lease = view.lease(key)
  if (lease === null || isOver(lease, view)) return
  // Seen from the worktree that is to be made, it is held in another one.
  const sameAgent = isOwn(lease, holder)
  if (sameAgent && !unheld) return
  // Of a launched claim its session is named, and how to open that.
  const end = endOfTime(lease, view)
  const launched = 'refusal' in end && end.refusal?.kind === 'launched' ? end.refusal : null
  throw refused(launched ?? { kind: 'held', lease, wanted: key, sameAgent }, view)
}

function refused(refusal: Refusal, { now }: Reading): Fault {
  const { code, message, hint, details, holder } = refusalDocument({ ok: false, refusal, opId: '', now, lastSeq: 0 })
  const { op_id: _, ...facts } = details ?? {}
  return new Fault(code, message, { hint, details: { ...facts, ...(holder === undefined ? {} : { holder }) } })
}

/** Whoever took the ticket where they stood may go on in a worktree of its own. */
const isOwn = ({ holder }: Lease, { agentId, sessionId }: Holder): boolean => holder.agentId === agentId && holder.sessionId === sessionId

async function startOf(desk: Desk, request: AddRequest): Promise<Start> {
  const git = repositoryGit(desk.workspace.repository, request.env)
  const { base } = request
  if (base !== undefined) {
    const commit = base.startsWith('-') ? null : await git.resolve(`${base}^{commit}`)
    if (commit === null) throw usage(`--base ${base} is no commit here`, 'name a branch, a tag or a commit: git branch --all')
    const isBranch = (await git.resolve(`refs/heads/${base}`)) !== null || (await git.resolve(`refs/remotes/${base}`)) !== null
    return { commit, base: isBranch ? base : null }
  }
  const start = await baseStart(desk, git)
  if (start !== null) return start
  throw noBase(desk, 'name one with --base, or once for all')
}

/** Throws `policy` where the base branch, from which worktrees are made, is not there or has no name, `usage` where a setting names none. */
export async function refuseNoBase(desk: Desk, env: NodeJS.ProcessEnv): Promise<void> {
  const git = repositoryGit(desk.workspace.repository, env)
  if ((await baseStart(desk, git)) === null) throw noBase(desk, 'say which it is')
}

async function baseStart({ catalogue: { baseBranch: name } }: Desk, git: Git): Promise<Start | null> {
  for (const reference of name === null ? [] : [`refs/heads/${name}`, `refs/remotes/${name}`, `refs/remotes/origin/${name}`]) {
    // oxlint-disable-next-line no-await-in-loop -- the first that is there
    const commit = await git.resolve(`${reference}^{commit}`)
    if (commit !== null) return { commit, base: name }
  }
  return null
}

function noBase({ catalogue: { baseBranch: name }, workspace: { repository, config } }: Desk, what: string): Fault {
  if (!hasBranches(repository)) return noCommitYet(repository, name)
  return (
    missingBase(repository, config)?.fault ??
    policy(
      name === null ? 'it is not clear which branch is the base' : `there is no branch ${name}, which is the base branch`,
      `${what}: lh config set base_branch <branch>`,
    )
  )
}

/** A worktree that exists, with its identity, and no files yet. */
interface Begun {
  readonly repository: Repository
  readonly path: string
  readonly worktreeId: string
  readonly purpose: Purpose
  readonly plan: Plan
  /** Forgets the plan: there is nothing to clear up any more. */
  readonly settle: () => void
  /** Says what lies there and is not of it. */
  readonly undo: () => Promise<readonly string[]>
}

async function begin(desk: Desk, holder: Holder, subject: Subject, start: Start, request: AddRequest): Promise<Begun> {
  const { repository } = desk.workspace
  const place = await chooseFree(desk, holder, subject, request)
  const { path, branch, name, exists } = place
  const git = repositoryGit(repository, request.env)
  if (exists && request.base !== undefined && !(await isIn(git, start.commit, `refs/heads/${branch}`)))
    throw policy(
      `the branch ${branch} is there already, and does not have what is on ${request.base}`,
      `leave --base out to take it as it is, or take another one: lh worktree add ${shellWord(request.name)} --base ${shellWord(request.base)} --branch <other>`,
    )
  const plan: Plan = { ticket: subject.ticket, name, path, branch, madeBranch: exists ? null : start.commit }
  const planned = beginPlan(repository, plan)
  const made = makeParents(path, repository)
  const undo = async (): Promise<readonly string[]> => {
    const left = await clear(repository, plan, request.env)
    for (const directory of made) removeEmpty(directory)
    planned.end()
    return left
  }
  try {
    const how = exists ? [path, branch] : ['--no-track', '-b', branch, path, start.commit]
    const args = ['worktree', 'add', '--quiet', '--no-checkout', ...how]
    const ran = await persist(git, args)
    if (ran.status !== 0) throw gitFailed(repository.commonDir, args, ran)
    const own = findRepository(path, {})
    // One that a person had is that person's; one by our name is a left-over of ours.
    const purpose = { ticket: subject.ticket, branch, base: start.base, ownBranch: !exists || request.branch === undefined }
    const { worktreeId } = foundWorktree(own, purpose)
    if (isInside(path, mainTop(repository))) exclude(repository, mainTop(repository), path)
    return { repository: own, path, worktreeId, purpose, plan, settle: planned.end, undo }
  } catch (error) {
    throw undone(error, path, await undo())
  }
}

/** The files of a worktree that is begun. Beside others: only the beginning has to be one at a time. */
async function finish(desk: Desk, begun: Begun, env: NodeJS.ProcessEnv): Promise<Added> {
  const { repository, path, worktreeId, purpose, plan, settle, undo } = begun
  try {
    await checkOut(path, env)
    const union = desk.workspace.config.get('worktree.union_paths')
    if (union !== '') ensureUnion(path, union.split(','))
  } catch (error) {
    throw undone(error, path, await undo())
  }
  settle()
  const warnings = await afterCheckout(path, env)
  return { repository, path, worktreeId, purpose, already: false, madeBranch: plan.madeBranch !== null, warnings }
}

/** What Git said, for people who find nothing there any more, or only what is somebody's. */
const undone = (error: unknown, path: string, left: readonly string[]): unknown =>
  isFault(error) && error.code === 'unavailable'
    ? new Fault(error.code, error.message, {
        hint:
          left.length === 0
            ? 'Nothing of it is left. Try again when that is mended.'
            : `Nothing of it is left, but ${path} has what is not of it (${few(left)}), and that stays. Move it away, then try again.`,
        details: { ...error.details, outcome: 'nothing_changed' },
        cause: error,
      })
    : error

async function checkOut(path: string, env: NodeJS.ProcessEnv): Promise<void> {
  const args = ['reset', '--hard', '--quiet', '--no-recurse-submodules']
  const ran = await persist(new Git(path, env), args)
  if (ran.status !== 0) throw gitFailed(path, args, ran)
}

/** What `git worktree add` does at its end. A hook that fails does not unmake the worktree. */
async function afterCheckout(path: string, env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const git = new Git(path, env)
  const head = await git.resolve('HEAD')
  if (head === null) return []
  const hook = ['hook', 'run', '--ignore-missing', 'post-checkout', '--', '0'.repeat(head.length), head, '1']
  const { status, stderr } = runGitToItsEnd(path, hook, cleanEnvironment(env))
  // Git before 2.36 cannot be asked for that.
  if (status === 0 || /not a git command/.test(stderr)) return []
  const last = stderr.trim().split('\n').at(-1)!
  return [`the post-checkout hook ended with ${status ?? 'a signal'}${last === '' ? '' : `: ${last}`}`]
}

interface Place {
  readonly path: string
  readonly branch: string
  readonly name: string
  /** Is the branch there already? */
  readonly exists: boolean
}

/** A path that is free and a branch that is free or ours to use. Throws with the reason why the best names are not. */
async function chooseFree(desk: Desk, holder: Holder, subject: Subject, request: AddRequest): Promise<Place> {
  let first: unknown
  for (const name of subject.names) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- the first that is free
      return await choose(desk, holder, name, subject, request)
    } catch (error) {
      first ??= error
    }
  }
  throw first
}

async function choose(desk: Desk, holder: Holder, name: string, subject: Subject, request: AddRequest): Promise<Place> {
  const { repository, config } = desk.workspace
  const path = choosePath(repository, config.get('worktree.directory'), name, request)
  const branch = request.branch ?? `${config.get('worktree.branch_prefix')}${name}`
  const git = repositoryGit(repository, request.env)
  const checked = await git.try(['check-ref-format', '--branch', branch])
  if (branch.startsWith('-') || checked.status !== 0) throw usage(`${JSON.stringify(branch)} is no branch name`, 'name one with --branch')
  await refuseHeld(desk, holder, branchKey(repository, branch))
  const exists = (await git.resolve(`refs/heads/${branch}`)) !== null
  if (!exists) await refuseNested(git, branch, request)
  const there = exists ? (await listEntries(repository, request.env)).find(entry => entry.branch === branch) : undefined
  if (there !== undefined)
    throw policy(
      `the branch ${branch} is checked out in ${there.path}`,
      there.main
        ? `check out another one there, or take another one here: lh worktree add ${shellWord(request.name)} --branch <other>`
        : `work there, or take another one: lh worktree add ${shellWord(request.name)} --branch <other>`,
    )
  // A short name that another ticket's work is under already is not this ticket's.
  if (exists && request.branch === undefined && subject.names.length > 1 && name === subject.names[0] && !isAlone(desk, name))
    throw policy(`the branch ${branch} is there already, and several tickets are called ${name}`, 'name one with --branch')
  return { path, branch, name, exists }
}

/** Branches are kept as paths: where one is, Git makes none below it, and none above. */
async function refuseNested(git: Git, branch: string, { name, branch: said }: AddRequest): Promise<void> {
  const parts = branch.split('/')
  const refuse = (other: string, where: string): Fault =>
    policy(
      `there cannot be a branch ${branch} ${where} the branch ${other}`,
      `take another one: lh worktree add ${shellWord(name)} --branch <other>${said === undefined ? '; or for all: lh config set worktree.branch_prefix <prefix>' : ''}`,
    )
  for (let depth = 1; depth < parts.length; depth++) {
    const above = parts.slice(0, depth).join('/')
    // oxlint-disable-next-line no-await-in-loop -- hardly ever more than one
    if ((await git.resolve(`refs/heads/${above}`)) !== null) throw refuse(above, 'below')
  }
  const below = shown((await git.run(['for-each-ref', '--count=1', '--format=%(refname)', `refs/heads/${branch}/`])).trim())
  if (below !== '') throw refuse(below.slice('refs/heads/'.length), 'above')
}

const isAlone = (desk: Desk, slug: string): boolean => desk.catalogue.ids().filter(id => id.endsWith(`-${slug}`) || id === slug).length < 2

function choosePath(repository: Repository, configured: string | null, name: string, { path: said, directory }: AddRequest): string {
  const home = homeOf(repository, configured)
  const path = realPath(said === undefined ? join(home.directory, name) : resolve(directory, said))
  if (/[\0]/.test(path)) throw usage('a path has no zero byte')
  const inside = [mainTop(repository), repository.commonDir].find(each => isInside(path, each))
  if (inside !== undefined && !(home.chosen && isInside(path, home.directory) && !isInside(path, repository.commonDir)))
    throw policy(
      `${path} lies inside the repository ${inside}`,
      'name a place outside with --path, or say once that it may: lh config set worktree.directory <directory>',
    )
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined)
    throw policy(
      `${path} exists already, and is no worktree of this repository for ${name}`,
      'move it away, or name another place with --path',
    )
  if (linkedDirectories(repository.commonDir).has(path))
    throw policy(
      `Git still knows a worktree at ${path}, whose directory is gone`,
      `lh worktree remove ${shellWord(path)}, or: git worktree prune`,
    )
  return path
}

/** Makes the directories above a path; those that it made, the lowest first. */
function makeParents(path: string, repository: Repository): readonly string[] {
  const made: string[] = []
  for (let above = dirname(path); !existsSync(above); above = dirname(above)) made.push(above)
  try {
    makeDirectory(dirname(path))
  } catch (error) {
    for (const directory of made) removeEmpty(directory)
    throw new Fault('unavailable', `${dirname(path)} cannot be made: ${(error as Error).message}`, {
      hint: isReadOnly(error)
        ? 'Name a place that may be written with --path, or once for all: lh config set worktree.directory <directory>'
        : `Name another place with --path. The repository is ${repository.commonDir}.`,
      details: { outcome: 'nothing_changed' },
      cause: error,
    })
  }
  return made
}

function removeEmpty(directory: string | Buffer): void {
  try {
    rmdirSync(directory)
  } catch {
    // Somebody else uses it by now.
  }
}

/** Undoes what a plan has made so far, and nothing else. Returns what lies at its path and is not of it. */
async function clear(repository: Repository, plan: Plan, env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const { path, branch, madeBranch } = plan
  const left = await takeOut(repository, plan, env)
  for (const gitDir of unfinishedDirectories(repository, path)) rmSync(gitDir, { recursive: true, force: true })
  removeEmpty(join(repository.commonDir, 'worktrees'))
  // Only at the commit where we made it.
  if (madeBranch !== null) await repositoryGit(repository, env).try(['update-ref', '-d', `refs/heads/${branch}`, madeBranch])
  return left
}

/** Takes the files of a plan's commit out of its directory, where that is this repository's worktree. Returns what stays there. */
async function takeOut(repository: Repository, { path, branch, madeBranch }: Plan, env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return []
  if (!stats.isDirectory()) return [path]
  if (isLinkedHere(repository, path)) {
    const git = repositoryGit(repository, env)
    const commit = madeBranch ?? (await git.resolve(`refs/heads/${branch}^{commit}`))
    const made = new Set(commit === null ? [] : (await git.run(['ls-tree', '-r', '-z', '--name-only', commit])).split('\0'))
    for (const name of filesBelow(path, new Set()).files.keys()) if (made.has(name)) rmSync(at(path, name), { force: true })
    rmSync(join(path, '.git'))
  }
  removeEmptyBelow(Buffer.from(path))
  return existsSync(path) ? readdirSync(path) : []
}

/** Is this directory's `.git` the file that Git writes for a worktree of this repository? */
function isLinkedHere({ commonDir }: Repository, path: string): boolean {
  const file = join(path, '.git')
  if (lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true) return false
  // One newline ends it; others are part of the name.
  const said = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  return said.startsWith('gitdir: ') && isInside(resolve(path, said.slice('gitdir: '.length)), join(commonDir, 'worktrees'))
}

function removeEmptyBelow(directory: Buffer): void {
  for (const entry of readdirSync(directory, { withFileTypes: true, encoding: 'buffer' }))
    if (entry.isDirectory()) removeEmptyBelow(Buffer.concat([directory, Buffer.from('/'), entry.name]))
  removeEmpty(directory)
}

/** What Git keeps of a worktree at this path; also when it was stopped before it had written down the path. */
function unfinishedDirectories(repository: Repository, path: string): readonly string[] {
  const directory = join(repository.commonDir, 'worktrees')
  const known = linkedDirectories(repository.commonDir)
  const named = known.get(path)
  const nameless = (existsSync(directory) ? readdirSync(directory) : [])
    .filter(name => name.startsWith(basename(path)))
    .map(name => join(directory, name))
    .filter(gitDir => !existsSync(join(gitDir, 'gitdir')) && Date.now() - lstatSync(gitDir).mtimeMs > 1000)
  return [...(named === undefined ? [] : [named]), ...nameless]
}

/** How long an orphaned Git is waited for, milliseconds. */
const orphanMs = 15_000

/** Goes on where a command was killed: with the files when the identity is written, else from the beginning. Under the lock of the turn. */
async function resume(repository: Repository, left: LeftPlan, env: NodeJS.ProcessEnv): Promise<void> {
  const { plan } = left
  const lock = left.take()
  // Its maker lives, and will end it.
  if (lock === null) return
  try {
    await untilAlone(plan.path)
    const gitDir = linkedDirectories(repository.commonDir).get(plan.path)
    if (gitDir !== undefined && existsSync(join(gitDir, 'leasehold', 'worktree.json')) && existsSync(join(plan.path, '.git'))) {
      // The index is written last: with one, all files are there, and somebody may have begun to work.
      if (!existsSync(join(gitDir, 'index'))) {
        rmSync(join(gitDir, 'index.lock'), { force: true })
        await checkOut(plan.path, env)
      }
    } else {
      refuseFilled(plan.path)
      await clear(repository, plan, env)
    }
    left.forget()
  } finally {
    lock.end()
  }
}

/** A Git that the killed command had started may still be at work. */
async function untilAlone(path: string): Promise<void> {
  for (const deadline = performance.now() + orphanMs; ;) {
    const [worker] = [...workersIn(path), ...workersOf(path)]
    if (worker === undefined) return
    if (performance.now() > deadline)
      throw policy(
        `${path} is half made, and process ${worker.pid} (${worker.command}) is still at work there`,
        'try again when it has ended',
      )
    // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
    await pause(50)
  }
}

/** Whatever lies there beside Git's own file is somebody's. */
function refuseFilled(path: string): void {
  const names = existsSync(path) ? readdirSync(path).filter(name => name !== '.git') : []
  if (names.length > 0)
    throw policy(
      `${path} was left half made, and has files of its own by now: ${names.slice(0, 5).join(', ')}`,
      'move them away, then try again',
    )
}

/** Clears up after a command that was killed while it made a worktree; says what was left. For `prune`. */
export async function clearLeft(repository: Repository, env: NodeJS.ProcessEnv, really: boolean): Promise<readonly Plan[]> {
  const found: Plan[] = []
  for (const left of leftPlans(repository)) {
    const lock = left.take()
    if (lock === null) continue
    lock.end()
    found.push(left.plan)
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    if (really) await inTurn(repository, () => resume(repository, left, env))
  }
  return found
}
