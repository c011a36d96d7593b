import { existsSync, lstatSync } from 'node:fs'
import { at, shown } from './files.ts'
import type { Git } from './git.ts'

// What Git sees in a worktree that is not committed, and what it was told not to see.

/** Settings under which Git looks at each file itself, and believes no monitor, no cache and no part of what it noted of a file. */
export const lookingItself = [
  'core.fsmonitor=false',
  'core.untrackedCache=false',
  'core.ignoreStat=false',
  'core.trustctime=true',
  'core.checkStat=default',
].flatMap(each => ['-c', each])

/** Changed and untracked paths, also those that Git was told not to look at. */
export async function dirtyIn(git: Git, path: string): Promise<readonly string[]> {
  const fields = (
    await git.run([
      '--no-optional-locks',
      ...lookingItself,
      'status',
      '--porcelain=v1',
      '-z',
      '--untracked-files=normal',
      '--ignore-submodules=none',
      '--no-renames',
    ])
  ).split('\0')
  // One that was only taken out of the index is said to be deleted, and untracked.
  const names = [...new Set(fields.filter(field => field !== '').map(field => field.slice(3)))]
  return [...names, ...(await hiddenChanges(git, path, new Set(names)))]
}

/** Files that Git was told not to look at (`assume-unchanged`, `skip-worktree`) and that are there: they may differ. */
async function hiddenChanges(git: Git, path: string, known: ReadonlySet<string>): Promise<readonly string[]> {
  const hidden = hiddenFiles(await git.run([...lookingItself, 'ls-files', '-v', '-z']), path).filter(name => !known.has(name))
  const changed: string[] = []
  for (const name of hidden) {
    // oxlint-disable-next-line no-await-in-loop -- hardly ever any
    const [index, own] = [
      await git.run(['ls-files', '-s', '-z', '--', `:(literal)${shown(name)}`]),
      await git.try(['hash-object', '--', shown(name)]),
    ]
    if (own.status !== 0 || !index.includes(own.stdout.toString('latin1').trim())) changed.push(name)
  }
  return changed
}

/** Of `ls-files -v -z` those that are hidden and there. */
export const hiddenFiles = (output: string, path: string): readonly string[] =>
  output
    .split('\0')
    .filter(line => /^(?:[a-z]|S) /.test(line))
    .map(line => line.slice(2))
    .filter(name => isThere(at(path, name)))

/** Also a symbolic link that leads nowhere. */
function isThere(path: Buffer): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return existsSync(path)
  }
}

/** Ignored files, and directories (with a slash) of which everything is ignored. */
export async function ignoredIn(git: Git): Promise<readonly string[]> {
  const output = await git.run([...lookingItself, 'ls-files', '-z', '--others', '--ignored', '--exclude-standard', '--directory'])
  return output.split('\0').filter(name => name !== '')
}
