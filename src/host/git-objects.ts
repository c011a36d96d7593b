import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Fault } from '../core/fault.ts'
import { shellWord } from '../core/shell-word.ts'
import { runGit } from './git.ts'

/** A file in a commit. */
export interface TreeFile {
  readonly path: string
  readonly blob: string
}

/** The commit that a full reference name stands for; null when there is no such reference. Starts no Git where references are files. */
export function commitOf(commonDir: string, reference: string): string | null {
  if (existsSync(join(commonDir, 'reftable'))) {
    const answer = runGit(commonDir, ['--git-dir', commonDir, 'rev-parse', '--verify', '--quiet', `${reference}^{commit}`])
    return answer.status === 0 ? answer.stdout.trim() : null
  }
  let name = reference
  for (let hops = 0; hops < 5; hops++) {
    const said = textOf(join(commonDir, name))?.trim() ?? packed(commonDir, name)
    if (said === null) return null
    if (!said.startsWith('ref: ')) return isObjectId(said) ? said : null
    name = said.slice(5).trim()
  }
  return null
}

/** The full name of the reference that a symbolic one (`HEAD`) leads to; null when it is none, or detached. */
export function symbolicTarget(gitDir: string, reference: string): string | null {
  const said = textOf(join(gitDir, reference))?.trim()
  const target = said?.startsWith('ref: ') === true ? said.slice(5).trim() : null
  if (target !== 'refs/heads/.invalid') return target
  // References are no files here.
  const answer = runGit(gitDir, ['--git-dir', gitDir, 'symbolic-ref', '--quiet', reference])
  return answer.status === 0 ? answer.stdout.trim() : null
}

const isObjectId = (text: string): boolean => /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text)

function packed(commonDir: string, name: string): string | null {
  const text = textOf(join(commonDir, 'packed-refs'))
  const at = text?.indexOf(` ${name}\n`) ?? -1
  if (text === null || at < 0) return null
  return text.slice(text.lastIndexOf('\n', at) + 1, at)
}

function textOf(path: string): string | null {
  // Asking first: most are missing, and an exception costs ten times the question.
  if (!existsSync(path)) return null
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // Missing, a directory of that name, or not ours to read: no such reference, as far as we can see.
    return null
  }
}

/** The regular files below a folder of a commit. Throws `unavailable` when Git cannot tell. */
export function filesInCommit(commonDir: string, commit: string, folder: string): readonly TreeFile[] {
  const output = ask(commonDir, ['ls-tree', '-r', '-z', '--full-tree', commit, '--', `${folder}/`], '').toString('utf8')
  const files: TreeFile[] = []
  for (const entry of output.split('\0')) {
    // `<mode> <type> <id>\t<path>`; 120000 is a symbolic link, 160000 another repository.
    const tab = entry.indexOf('\t')
    const [mode, , blob] = entry.slice(0, Math.max(tab, 0)).split(' ')
    if (blob !== undefined && (mode === '100644' || mode === '100755')) files.push({ path: entry.slice(tab + 1), blob })
  }
  return files
}

/** The contents of blobs, in the order asked for. Throws `unavailable` when one cannot be read. */
export function readBlobs(commonDir: string, blobs: readonly string[]): readonly Buffer[] {
  if (blobs.length === 0) return []
  const output = ask(commonDir, ['cat-file', '--batch'], `${blobs.join('\n')}\n`)
  const contents: Buffer[] = []
  let at = 0
  for (const blob of blobs) {
    // `<id> blob <size>\n<content>\n`
    const line = output.indexOf(10, at)
    const size = /^\S+ blob (\d+)$/.exec(line < 0 ? '' : output.toString('latin1', at, line))?.[1]
    if (size === undefined) throw unreadable(commonDir, `object ${blob} is missing`)
    contents.push(output.subarray(line + 1, line + 1 + Number(size)))
    at = line + 2 + Number(size)
  }
  return contents
}

/** What Git says to `input`; more than `runGit` would take. */
function ask(commonDir: string, args: readonly string[], input: string): Buffer {
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const done = spawnSync('git', ['--git-dir', commonDir, ...args], { cwd: commonDir, input, maxBuffer: 1024 * 1024 * 1024 })
  if (done.error === undefined && done.status === 0) return done.stdout
  throw unreadable(commonDir, done.error?.message ?? done.stderr.toString('utf8').trim(), done.error)
}

const unreadable = (commonDir: string, why: string, cause?: Error): Fault =>
  new Fault('unavailable', `Git cannot read the files of a commit in ${commonDir}: ${why}`, {
    hint: `See: git -C ${shellWord(commonDir)} fsck`,
    cause,
  })
