import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect } from 'vitest'
import type { LaunchRequest, Launchable } from '../../src/service/hooks/agent/launch.ts'
import { geminiMembers, launchOf } from '../../src/service/hooks/agent/launch.ts'
import type { Step } from '../../src/service/hooks/agent/model/script.ts'
import type { ScriptedModel } from '../../src/service/hooks/agent/model/server.ts'
import { startScriptedModel } from '../../src/service/hooks/agent/model/server.ts'
import type { Doc } from '../support/cli.ts'
import { executable, folder, git, parse, Running } from '../support/cli.ts'
import type { Requirement } from '../support/skip.ts'
import { requires } from '../support/skip.ts'

// The real agents, as npm has them: each in a home made for it, without an account, against the scripted model on the loopback interface.

const modules = path.join(import.meta.dirname, 'clients', 'node_modules')

/** Where each client is once `.ci/run` (or `npm ci` in test/agents/clients) has installed it. Its install scripts are not run. */
export const programs: Readonly<Record<Launchable, string>> = {
  claude: path.join(modules, '@anthropic-ai', `claude-code-${process.platform}-${process.arch}`, 'claude'),
  codex: path.join(modules, '.bin', 'codex'),
  gemini: path.join(modules, '.bin', 'gemini'),
}

/** The version that is tested, from the lock file of the clients. */
export const versionOf = (name: string): string =>
  parse(fs.readFileSync(path.join(import.meta.dirname, 'clients', 'package-lock.json'), 'utf8')).packages[`node_modules/${name}`].version

/** Tests that need a client. */
export const needs = (agent: Launchable): Requirement =>
  requires(fs.existsSync(programs[agent]), `needs the real ${agent}: npm ci in test/agents/clients`)

let model: ScriptedModel | undefined

/** Starts the model for the tests of a file. */
export function useModel(): void {
  beforeAll(async () => {
    model = await startScriptedModel()
  })
  afterAll(() => model?.close())
}

/** How an agent is run, where it matters. */
type RunOptions = { readonly cwd?: string } & Pick<LaunchRequest, 'more' | 'onlyTrusted'>

/** A person with one home and one repository, and agents that work there. */
export class Desk {
  readonly home = folder('home-')
  readonly workspace = folder('work-')
  /** The executable that installs the hooks. */
  readonly lh: string

  constructor(lh = executable) {
    this.lh = lh
    git(this.workspace, 'init', '-q')
    this.put('existing.txt', 'old\n')
    git(this.workspace, 'add', '.')
    git(this.workspace, 'commit', '-q', '-m', 'one')
  }

  /** A clean environment: what a hook finds here, an agent handed on. */
  get env(): NodeJS.ProcessEnv {
    return { PATH: process.env['PATH'], HOME: this.home, LANG: 'C.UTF-8' }
  }

  /** Where the scripted model answers. */
  get url(): string {
    return model!.url
  }

  put(name: string, text: string): string {
    const file = path.resolve(this.workspace, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, text)
    return file
  }

  has(name: string): boolean {
    return fs.existsSync(path.resolve(this.workspace, name))
  }

  read(name: string): string {
    return fs.readFileSync(path.resolve(this.workspace, name), 'utf8')
  }

  /** Runs `lh` here and gives its document; `code` is how it has to end. */
  leasehold(words: string, code = 0): Doc {
    const running = new Running(process.execPath, [this.lh, '--json', ...words.split(' ')], { cwd: this.workspace, env: this.env })
    return running.ended.then(({ code: ended, stdout, stderr }) => {
      expect({ ended, stderr }, words).toMatchObject({ ended: code })
      return parse(stdout)
    })
  }

  /** Starts an agent that does these things, one a turn. */
  start(agent: Launchable, steps: readonly Step[], options: RunOptions = {}): Session {
    const { cwd = this.workspace, ...more } = options
    if (agent === 'gemini') this.allowGemini()
    const path = process.env['PATH'] ?? ''
    const launch = launchOf(agent, { program: programs[agent], home: this.home, url: model!.url, steps, path, ...more })
    // A program that somebody has open for writing at this moment (an indexer, a backup) cannot be started in it.
    for (let attempt = 1; ; attempt++) {
      try {
        return new Session(launch.program, launch.args, { cwd, env: launch.env })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ETXTBSY' || attempt === 20) throw error
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100)
      }
    }
  }

  run(agent: Launchable, steps: readonly Step[], options: RunOptions = {}): Promise<string> {
    return this.start(agent, steps, options).output()
  }

  /** Gemini asks for an account unless its settings say otherwise. */
  allowGemini(): void {
    const file = path.join(this.home, '.gemini', 'settings.json')
    const there = fs.existsSync(file) ? parse(fs.readFileSync(file, 'utf8')) : {}
    if (there.security !== undefined) return
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, JSON.stringify({ ...geminiMembers, ...there }, null, 2))
  }

  /** Every file of the home that an installation could touch, with its content. */
  settings(): Readonly<Record<string, string>> {
    const found: Record<string, string> = {}
    for (const name of ['.claude/settings.json', '.codex/hooks.json', '.gemini/settings.json', '.local/state/leasehold']) {
      const file = path.join(this.home, name)
      if (fs.existsSync(file)) found[name] = fs.statSync(file).isFile() ? fs.readFileSync(file, 'utf8') : 'directory'
    }
    return found
  }
}

/** An agent at work. */
export class Session extends Running {
  /** What it said, when it has ended. */
  async output(): Promise<string> {
    const { stdout, stderr } = await this.ended
    return `${stdout}\n${stderr}`
  }
}

/** The shell commands of an agent: it says that it has begun, then works until the file `go` is there. */
export const workUntilTold = (name: string): string =>
  `echo $$ > ${name}.pid; touch ${name}.begun; while [ ! -e ${name}.go ]; do sleep 0.05; done; touch ${name}.over`

/** What a blocked agent is told. */
export const blocked = 'parallel session lock held by'

/** A copy of the executable whose hook is something else. */
export function withHook(text: string | null): string {
  const directory = folder('dist-')
  fs.cpSync(path.dirname(path.dirname(executable)), directory, { recursive: true })
  const hook = path.join(directory, 'bin', 'hook.cjs')
  if (text === null) fs.rmSync(hook)
  else fs.writeFileSync(hook, text)
  return path.join(directory, 'bin', 'lh.cjs')
}
