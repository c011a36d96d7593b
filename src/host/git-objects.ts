import { Fault } from '../core/fault.ts'
import { shellWord } from '../core/shell-word.ts'

/** A file in a commit. */
export interface TreeFile {
  readonly path: string
  readonly blob: string
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
