import { spawn } from 'node:child_process'
import { Fault } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'

// Git as the commands about worktrees run it: beside each other, in English, and free of what a hook around us has set.

/** What a finished `git` said. File names need not be UTF-8, so its output is bytes. */
export interface Ran {
  /** Null when a signal ended it. */
  readonly status: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string | Buffer
  readonly env?: NodeJS.ProcessEnv
}

/** What Git itself calls local to a repository, and what would change the words or the questions it asks. */
const localVariables =
  /^GIT_(?:ALTERNATE_OBJECT_DIRECTORIES|CONFIG|CONFIG_PARAMETERS|CONFIG_COUNT|CONFIG_KEY_\d+|CONFIG_VALUE_\d+|OBJECT_DIRECTORY|DIR|WORK_TREE|IMPLICIT_WORK_TREE|GRAFT_FILE|INDEX_FILE|NO_REPLACE_OBJECTS|REPLACE_REF_BASE|PREFIX|SHALLOW_FILE|COMMON_DIR|INTERNAL_SUPER_PREFIX|QUARANTINE_PATH|NAMESPACE|LITERAL_PATHSPECS|GLOB_PATHSPECS|NOGLOB_PATHSPECS|ICASE_PATHSPECS|REFLOG_ACTION)$/

/** An environment for Git in a repository that we name ourselves. */
export function cleanEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !localVariables.test(name))
  return { ...Object.fromEntries(kept), LC_ALL: 'C', GIT_TERMINAL_PROMPT: '0' }
}

/** Git in one place: a worktree, or a git directory that the arguments name. */
export class Git {
  readonly cwd: string
  readonly #env: NodeJS.ProcessEnv
  readonly #before: readonly string[]

  /** `before` are arguments that stand in front of each command's own. */
  constructor(cwd: string, env: NodeJS.ProcessEnv, before: readonly string[] = []) {
    this.cwd = cwd
    this.#env = cleanEnvironment(env)
    this.#before = before
  }

  /** Its answer, whatever it is. Throws `unavailable` when it cannot be started. */
  try(args: readonly string[], { input, env }: RunOptions = {}): Promise<Ran> {
    return new Promise((resolve, reject) => {
      const child = spawn('git', [...this.#before, ...args], {
        cwd: this.cwd,
        env: { ...this.#env, ...env },
        stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      })
      const out: Buffer[] = []
      const errors: Buffer[] = []
      child.stdout!.on('data', (part: Buffer) => out.push(part))
      child.stderr!.on('data', (part: Buffer) => errors.push(part))
      child.once('error', error =>
        reject(
          new Fault('unavailable', `git could not be started in ${this.cwd}: ${error.message}`, {
            hint: 'Install Git, or put it on PATH.',
            cause: error,
          }),
        ),
      )
      child.once('close', status => resolve({ status, stdout: Buffer.concat(out), stderr: Buffer.concat(errors).toString('utf8').trim() }))
      // A Git that has failed reads no more; what it says about that is in its answer.
      child.stdin?.on('error', () => undefined).end(input)
    })
  }

  /** Its output, byte by byte a character each. Throws `unavailable` with what it said when it fails. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const ran = await this.try(args, options)
    if (ran.status === 0) return ran.stdout.toString('latin1')
    throw gitFailed(this.cwd, args, ran)
  }

  /** The object that a name stands for; null when it stands for none. */
  async resolve(name: string): Promise<string | null> {
    const { status, stdout } = await this.try(['rev-parse', '--quiet', '--verify', '--end-of-options', name])
    return status === 0 ? stdout.toString('latin1').trim() : null
  }
}

/** What to throw when Git said no to something that should have worked. */
export function gitFailed(cwd: string, args: readonly string[], { stderr, status }: Ran): Fault {
  const command = args.find((each, at) => !each.startsWith('-') && !['-c', '--git-dir'].includes(args[at - 1] ?? '')) ?? ''
  // The first line is the cause, and the last what came of it.
  const lines = stderr.split('\n').filter(line => /^(?:error|fatal): /.test(line))
  const why = [...new Set([lines[0], lines.at(-1)])].filter(line => line !== undefined).join('; ')
  return new Fault(
    'unavailable',
    `git ${command} failed in ${cwd}: ${why || stderr.split('\n').at(-1) || `it ended with ${status ?? 'a signal'}`}`,
    {
      hint: `Look at it: git -C ${shellWord(cwd)} status`,
      details: { outcome: 'unknown', stderr: stderr.slice(0, 4000) },
    },
  )
}

/** Another Git works on the same file this moment. */
const busyWords =
  /Unable to create '[^']*\.lock'|could not lock config file|Another git process|cannot lock ref|unable to lock|failed to lock/i

/** Runs Git, again for some seconds while another one has what it needs. */
export async function persist(git: Git, args: readonly string[], waitMs = 15_000): Promise<Ran> {
  for (const deadline = performance.now() + waitMs; ;) {
    // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
    const ran = await git.try(args)
    if (ran.status === 0 || !busyWords.test(ran.stderr) || performance.now() > deadline) return ran
    // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
    await pause(20 + Math.floor(Math.random() * 60))
  }
}

export const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** What a shell script prints for these arguments, byte by byte a character each. */
export function shell(script: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', script, 'sh', ...args], { env: cleanEnvironment(env), stdio: ['ignore', 'pipe', 'ignore'] })
    const out: Buffer[] = []
    child.stdout.on('data', (part: Buffer) => out.push(part))
    child.once('error', reject)
    child.once('close', () => resolve(Buffer.concat(out).toString('latin1')))
  })
}
