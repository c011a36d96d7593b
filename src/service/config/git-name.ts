import { statSync } from 'node:fs'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { runGit, type Repository } from '../../host/git.ts'
import type { CachedName } from './cache.ts'
import { isSettled, stampOf } from './stamp.ts'

/** Git's `user.name`, and what to keep of it; `keep` is null where the answer could change without a file changing. */
export interface LookedUpName {
  readonly name: string | null
  readonly keep: CachedName | null
}

interface GitSetting {
  /** The file that says it; null for the command line and the like. */
  readonly file: string | null
  readonly key: string
  readonly value: string
}

/** Asks Git who commits here (4 ms), and finds out which files that answer came from. Null when it says nobody. */
export function lookUpGitName(repository: Repository, env: NodeJS.ProcessEnv): LookedUpName {
  const startedMs = Date.now()
  const cwd = repository.root ?? repository.gitDir
  const answer = runGit(cwd, ['config', '--list', '--show-origin', '--includes', '-z'], env)
  if (answer.status !== 0) return { name: null, keep: null }
  const said = parseSettings(answer.stdout, cwd)
  const name = said.findLast(setting => setting.key === 'user.name')?.value ?? null
  const files = filesBehind(said, repository, env)
  if (name === null || files === null) return { name, keep: null }
  const needs: [string, string][] = []
  for (const file of files) {
    const stats = statSync(file, { bigint: true, throwIfNoEntry: false })
    // Changed while Git was reading, or so shortly before that a second change would not show.
    if (!isSettled(stats, startedMs)) return { name, keep: null }
    needs.push([file, stampOf(stats)])
  }
  return { name, keep: { name, needs } }
}

/** `-z` prints origin NUL key LF value NUL. */
function parseSettings(output: string, cwd: string): readonly GitSetting[] {
  const fields = output.split('\0')
  const settings: GitSetting[] = []
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const origin = fields[at] ?? ''
    const text = fields[at + 1] ?? ''
    const end = text.indexOf('\n')
    const file = origin.startsWith('file:') ? resolve(cwd, origin.slice('file:'.length)) : null
    settings.push({ file, key: end < 0 ? text : text.slice(0, end), value: end < 0 ? '' : text.slice(end + 1) })
  }
  return settings
}

/** Every file whose change, appearance or end could change the name; null where that is more than files. */
function filesBehind(said: readonly GitSetting[], repository: Repository, env: NodeJS.ProcessEnv): ReadonlySet<string> | null {
  const files = new Set(usualFiles(repository, env))
  for (const { file, key, value } of said) {
    if (file === null) return null
    files.add(file)
    if (!/^include(if\..*)?\.path$/.test(key)) continue
    // Which branch is out or which remotes there are is not for us to follow.
    if (key.startsWith('includeif.') && !key.startsWith('includeif.gitdir')) return null
    const included = value.startsWith('~/') ? join(env['HOME'] ?? '/', value.slice(2)) : value
    files.add(isAbsolute(included) ? included : resolve(dirname(file), included))
  }
  return files
}

function usualFiles(repository: Repository, env: NodeJS.ProcessEnv): readonly string[] {
  const home = env['HOME']
  const settings = env['XDG_CONFIG_HOME'] || (home ? join(home, '.config') : undefined)
  const global = env['GIT_CONFIG_GLOBAL']
  return [
    env['GIT_CONFIG_SYSTEM'] ?? '/etc/gitconfig',
    ...(global === undefined
      ? [...(settings ? [join(settings, 'git', 'config')] : []), ...(home ? [join(home, '.gitconfig')] : [])]
      : [global]),
    join(repository.commonDir, 'config'),
    join(repository.gitDir, 'config.worktree'),
  ].filter(path => path !== '')
}
