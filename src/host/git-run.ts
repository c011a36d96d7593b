import { Fault } from '../core/fault.ts'

/** How a Git command is to be run. */
export interface GitRun {
  readonly env: NodeJS.ProcessEnv
  readonly input?: string | Buffer
}

/** Bytes of output that are read at most. */
const maxOutputBytes = 512 * 1024 * 1024

/** Runs `git` on bytes and waits for it: what it printed, or null when it failed. Throws `unavailable` when it cannot be started. */
export function gitOutput(cwd: string, args: readonly string[], { env, input }: GitRun): Buffer | null {
  // Not an import: loading child_process costs a millisecond that a hook without a question for Git never needs.
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const done = spawnSync('git', args, {
    cwd,
    env,
    maxBuffer: maxOutputBytes,
    ...(input === undefined ? {} : { input }),
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'ignore'],
  })
  // A child that ends before it has read all of its input is no failure of ours.
  if (done.error !== undefined && (done.error as NodeJS.ErrnoException).code !== 'EPIPE')
    throw new Fault('unavailable', `git ${args[0]} could not be run in ${cwd}: ${done.error.message}`, { cause: done.error })
  return done.status === 0 ? done.stdout : null
}

/** What Git sets for a hook: this one repository, and the index and objects of this one commit or push. */
const repositoryVariables: ReadonlySet<string> = new Set([
  'GIT_DIR',
  'GIT_WORK_TREE',
  'GIT_COMMON_DIR',
  'GIT_INDEX_FILE',
  'GIT_PREFIX',
  'GIT_OBJECT_DIRECTORY',
  'GIT_ALTERNATE_OBJECT_DIRECTORIES',
  'GIT_QUARANTINE_PATH',
])

/** The environment for whatever looks for a repository itself. */
export const withoutRepository = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !repositoryVariables.has(name)))
