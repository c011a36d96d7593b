import { readdirSync, statSync, type BigIntStats } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { sha256Hex } from '../../core/sha256.ts'
import { createOnce, isReadOnly, isUnreadable, makePrivateDirectory, readJson, writeRepositoryFile } from '../../host/files.ts'
import { findRepository, type Repository } from '../../host/git.ts'
import { worktreeDirectory, worktreeRecordFile } from '../../host/paths.ts'

/** Which worktree acts. */
export interface WorktreeIdentity {
  /** `wt:<8 hex>`. */
  readonly worktreeId: string
  /** Top of the worktree; the git directory where there is none. */
  readonly root: string
  /** Nothing is left to write: false before the first `ensureWorktree`, and after a move or a copy until the next one. */
  readonly written: boolean
  /** What it was made for, when we made it. A copy was made for nothing. */
  readonly purpose: Purpose | null
  /** One sentence when the worktree was moved or copied, or its file was damaged. */
  readonly warning?: string
}

/** What a worktree was made for. */
export interface Purpose {
  /** Full id; null when it was made under a free name. */
  readonly ticket: string | null
  /** The branch it was made with; another may be checked out since. */
  readonly branch: string
  /** The branch it was made from, where its work is to go; null when it was made from a bare commit. */
  readonly base: string | null
  /** The branch came with the worktree, and goes with it when it is merged. */
  readonly ownBranch: boolean
}

/** `worktree.json`, as we use it. */
interface WorktreeRecord {
  readonly worktreeId: string
  readonly root: string
  readonly createdAt: string
  readonly purpose: Purpose | null
}

/** What has to happen to the file: nothing, its first writing, a replacement, or nothing because nobody here knows what is in it. */
interface Judgement {
  readonly step: 'keep' | 'create' | 'replace' | 'refuse'
  readonly worktreeId: string
  readonly root: string
  readonly purpose: Purpose | null
  readonly warning?: string
}

/** The worktree's id, from its file or as it would be written. Never writes; throws only what the file system does. */
export function readWorktree(repository: Repository): WorktreeIdentity {
  const { step, ...identity } = judge(repository)
  return { ...identity, written: step === 'keep' }
}

/** A file that is there and may not be read: another id than the one in it would be somebody else's. */
const unreadable = (file: string): Fault =>
  new Fault('unavailable', `${file} cannot be read by this user: which worktree this is stays unknown`, {
    hint: `let this user read it: ls -l ${shellWord(file)}; where a group shares the repository, chmod g+rw ${shellWord(file)}`,
    details: { outcome: 'nothing_changed' },
  })

/**
 * The worktree's id, written down if it was not. Commands that run at the same moment agree on one id.
 * Throws `unavailable` where the git directory cannot be written, or its file not be read.
 */
export function ensureWorktree(repository: Repository): WorktreeIdentity {
  const judgement = judge(repository)
  if (judgement.step === 'refuse') throw unreadable(worktreeRecordFile(repository.gitDir))
  try {
    if (judgement.step === 'keep' || write(repository, judgement)) {
      const { step: _, ...identity } = judgement
      return { ...identity, written: true }
    }
    return readWorktree(repository)
  } catch (error) {
    if (!isReadOnly(error)) throw error
    throw new Fault('unavailable', `${worktreeDirectory(repository.gitDir)} cannot be written: ${(error as Error).message}`, {
      hint: `Let this process write there. In a sandboxed agent, allow it (Codex: writable_roots = ["${repository.commonDir}"]).`,
      details: { outcome: 'nothing_changed' },
      cause: error,
    })
  }
}

/**
 * Writes down what a worktree was made for, with its id. To be called before anybody can work in it: what was there is replaced.
 * Throws what the file system does.
 */
export function foundWorktree(repository: Repository, purpose: Purpose): WorktreeIdentity {
  const worktreeId = freshId(repository)
  const root = repository.root ?? repository.gitDir
  write(repository, { step: 'replace', worktreeId, root, purpose })
  return { worktreeId, root, purpose, written: true }
}

function judge(repository: Repository): Judgement {
  const file = worktreeRecordFile(repository.gitDir)
  const root = repository.root ?? repository.gitDir
  const found = readRecord(file)
  if (found === undefined) return { step: 'create', worktreeId: freshId(repository), root, purpose: null }
  if (found === 'unreadable') {
    const warning = `${file} cannot be read by this user: this worktree may have another id.`
    return { step: 'refuse', worktreeId: freshId(repository), root, purpose: null, warning }
  }
  if (found === null) {
    const warning = `${file} was damaged: this worktree has a new id.`
    return { step: 'replace', worktreeId: freshId(repository), root, purpose: null, warning }
  }
  const { worktreeId, purpose } = found
  // Inside a git directory that stands apart from its worktree nobody can see where that is: believe the file.
  if (found.root === root || repository.root === null) return { step: 'keep', worktreeId, root: found.root, purpose }
  if (isSameDirectory(found.root, root)) return { step: 'keep', worktreeId, root, purpose }
  return judgeElsewhere(repository, found, root)
}

/** The file says that it belongs to another directory: was this worktree moved, or is one of the two a copy? */
function judgeElsewhere(repository: Repository, found: WorktreeRecord, root: string): Judgement {
  const there = gitDirOf(found.root)
  if (there !== null && isSameDirectory(there, repository.gitDir)) {
    // Two directories, one file: writing would give it to whoever came last, so this one has an id of its own that stays unwritten.
    const warning = `${root} and ${found.root} use one git directory: one is a copy that Git does not know. Make worktrees with \`git worktree add\`.`
    return { step: 'keep', worktreeId: freshId(repository), root, purpose: null, warning }
  }
  const original = originalOf(found, repository, there)
  if (original !== null) {
    const worktreeId = freshId(repository)
    const warning = `This worktree is a copy of ${original}; its id is now ${worktreeId}.`
    return { step: 'replace', worktreeId, root, purpose: null, warning }
  }
  const warning = `This worktree was moved here from ${found.root}; it keeps its id ${found.worktreeId}.`
  return { step: 'replace', worktreeId: found.worktreeId, root, purpose: found.purpose, warning }
}

/** False when another command wrote the file first. */
function write(repository: Repository, judgement: Judgement): boolean {
  makePrivateDirectory(worktreeDirectory(repository.gitDir), repository.shared)
  const file = worktreeRecordFile(repository.gitDir)
  const content = print(repository, judgement)
  if (judgement.step === 'create') return createOnce(file, content, repository.shared)
  // Replacing is safe without a lock: what takes the place of a moved, copied or damaged file follows from the directory alone.
  writeRepositoryFile(file, content, repository.shared)
  return true
}

function print(repository: Repository, { worktreeId, root, purpose }: Judgement): string {
  const earlier = soundRecord(worktreeRecordFile(repository.gitDir))
  const created = earlier?.worktreeId === worktreeId ? earlier.createdAt : createdAt(repository.gitDir)
  return `${JSON.stringify({ schema_version: 1, worktree_id: worktreeId, root, created_at: created, ...wirePurpose(purpose) })}\n`
}

function wirePurpose(purpose: Purpose | null): Record<string, string | boolean> {
  if (purpose === null) return {}
  const { ticket, branch, base, ownBranch } = purpose
  return { ...(ticket === null ? {} : { ticket }), branch, ...(base === null ? {} : { base }), own_branch: ownBranch }
}

/** A record that says it badly was made for nothing. */
function purposeIn({ ticket, branch, base, own_branch }: Record<string, unknown>): Purpose | null {
  if (typeof branch !== 'string' || branch === '') return null
  if (ticket !== undefined && (typeof ticket !== 'string' || !/^[a-z0-9][a-z0-9._-]{0,127}$/.test(ticket))) return null
  if (base !== undefined && (typeof base !== 'string' || base === '')) return null
  return { ticket: ticket ?? null, branch, base: base ?? null, ownBranch: own_branch === true }
}

/** The worktree that this file was copied from, or null when this one is the only one with its id. */
function originalOf(record: WorktreeRecord, repository: Repository, there: string | null): string | null {
  for (const gitDir of [there, ...siblings(repository.commonDir)]) {
    if (gitDir === null || isSameDirectory(gitDir, repository.gitDir)) continue
    const other = soundRecord(worktreeRecordFile(gitDir))
    if (other?.worktreeId === record.worktreeId) return other.root
  }
  return null
}

/** The git directories of all worktrees of a repository. */
function siblings(commonDir: string): readonly string[] {
  const linked = join(commonDir, 'worktrees')
  if (statOf(linked) === null) return [commonDir]
  return [commonDir, ...readdirSync(linked).map(name => join(linked, name))]
}

/** The git directory of the worktree whose top is `root`; null when there is no such worktree any more. */
function gitDirOf(root: string): string | null {
  try {
    const found = findRepository(root, {})
    return found.root === root || found.gitDir === root ? found.gitDir : null
  } catch {
    return null
  }
}

/** sha256 of root and birth, 8 hex: the same however often it is asked for, another for a worktree made anew at the same place. */
function freshId(repository: Repository): string {
  const root = repository.root ?? repository.gitDir
  return `wt:${sha256Hex(Buffer.from(`${root}\0${birthOf(repository.gitDir)}`), 8)}`
}

/** When the git directory was made, in nanoseconds; its inode number where the file system does not record births. */
function birthOf(gitDir: string): bigint {
  const { birthtimeNs, ino } = statSync(gitDir, { bigint: true })
  return birthtimeNs > 0n ? birthtimeNs : ino
}

function createdAt(gitDir: string): string {
  const { birthtimeMs } = statSync(gitDir)
  return new Date(birthtimeMs > 0 ? birthtimeMs : Date.now()).toISOString()
}

/** Null for whatever else stands in its place. */
function soundRecord(file: string): WorktreeRecord | null {
  const found = readRecord(file)
  return typeof found === 'object' ? found : null
}

/** Undefined: no file. Null: a damaged one. */
function readRecord(file: string): WorktreeRecord | null | undefined | 'unreadable' {
  try {
    const content = readJson(file)
    if (content === undefined) return undefined
    const members = (content ?? {}) as Record<string, unknown>
    const { schema_version, worktree_id, root, created_at } = members
    if (schema_version !== 1 || typeof worktree_id !== 'string' || !/^wt:[0-9a-f]{8}$/.test(worktree_id)) return null
    if (typeof root !== 'string' || typeof created_at !== 'string') return null
    return { worktreeId: worktree_id, root, createdAt: created_at, purpose: purposeIn(members) }
  } catch (error) {
    return isUnreadable(error) ? 'unreadable' : null
  }
}

function statOf(path: string): BigIntStats | null {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false }) ?? null
  } catch {
    return null
  }
}

/** One directory, perhaps under two paths (a bind mount): neither a move nor a copy. */
function isSameDirectory(a: string, b: string): boolean {
  const [one, other] = [statOf(a), statOf(b)]
  return one !== null && other !== null && one.dev === other.dev && one.ino === other.ino
}
