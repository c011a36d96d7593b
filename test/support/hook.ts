import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { folder, git, type Doc, type Result } from './cli.ts'

// Agents as the hooks see them: a process that lives, a payload on standard input, an exit code.

/** What installed hooks call. */
export const hookProgram = path.resolve(import.meta.dirname, '../../dist/bin/hook.cjs')

/** One user's home, in which all sessions keep their locks. */
export class Home {
  readonly dir = folder('home-')

  get runtime(): string {
    return path.join(this.dir, '.claude', 'runtime')
  }

  /** The lock records that are there, parsed. */
  records(): readonly Doc[] {
    return this.files()
      .filter(name => /^session-lock-.*\.json$/.test(name))
      .map(name => JSON.parse(fs.readFileSync(path.join(this.runtime, name), 'utf8')))
  }

  files(): readonly string[] {
    return fs.existsSync(this.runtime) ? fs.readdirSync(this.runtime).sort() : []
  }

  log(): string {
    const file = path.join(this.runtime, 'leasehold-hook.log')
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
  }

  /** An agent's session in a directory. */
  session(id: string, cwd: string, env: NodeJS.ProcessEnv = {}): AgentSession {
    return new AgentSession(this, id, cwd, env)
  }
}

/** A new Git repository. */
export function workspace(): string {
  const dir = folder('ws-')
  git(dir, 'init', '-q')
  return dir
}

/** One session of Claude Code, unless the payload says otherwise. */
export class AgentSession {
  readonly home: Home
  readonly id: string
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv

  constructor(home: Home, id: string, cwd: string, env: NodeJS.ProcessEnv = {}) {
    this.home = home
    this.id = id
    this.cwd = cwd
    this.env = env
  }

  call(event: string, payload: Readonly<Record<string, unknown>> = {}, more: readonly string[] = ['--agent', 'claude']): Promise<Result> {
    return runHook(
      [event, ...more],
      JSON.stringify({ session_id: this.id, cwd: this.cwd, ...payload }),
      { HOME: this.home.dir, ...this.env },
      this.cwd,
    )
  }

  write(file: string, more: Readonly<Record<string, unknown>> = {}): Promise<Result> {
    return this.before('Write', { file_path: file, content: 'x' }, more)
  }

  bash(command: string, more: Readonly<Record<string, unknown>> = {}): Promise<Result> {
    return this.before('Bash', { command, ...more })
  }

  before(tool: string, input: unknown, more: Readonly<Record<string, unknown>> = {}): Promise<Result> {
    return this.call('before-tool', { hook_event_name: 'PreToolUse', tool_name: tool, tool_input: input, tool_use_id: 't1', ...more })
  }

  after(tool: string, input: unknown, more: Readonly<Record<string, unknown>> = {}): Promise<Result> {
    return this.call('after-tool', { hook_event_name: 'PostToolUse', tool_name: tool, tool_input: input, tool_use_id: 't1', ...more })
  }

  stop(more: Readonly<Record<string, unknown>> = {}): Promise<Result> {
    return this.call('stop', { hook_event_name: 'Stop', background_tasks: [], session_crons: [], ...more })
  }

  end(): Promise<Result> {
    return this.call('session-end', { hook_event_name: 'SessionEnd', reason: 'other' })
  }
}

/** Runs the hook as a client does; standard input is closed after the text unless it is null, which keeps it open and empty. */
export function runHook(
  args: readonly string[],
  text: string | Buffer | null,
  env: NodeJS.ProcessEnv,
  cwd: string,
  program: readonly string[] = [process.execPath, hookProgram],
): Promise<Result> {
  const { PATH } = process.env
  const [command, ...first] = program
  const child = spawn(command!, [...first, ...args], { cwd, env: { PATH, ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (part: string) => (stdout += part))
  child.stderr.setEncoding('utf8').on('data', (part: string) => (stderr += part))
  // A hook that has its answer need not read to the end.
  child.stdin.on('error', () => undefined)
  if (text !== null) child.stdin.end(text)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      child.stdin.destroy()
      resolve({ code, signal, stdout, stderr })
    })
  })
}

/** What a hook says that lets the tool run. */
export const passed = { code: 0, signal: null, stdout: '', stderr: '' }
