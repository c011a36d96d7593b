import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeAll, expect } from 'vitest'
import { launchOf, type Launchable } from '../../src/service/hooks/agent/launch.ts'
import type { Step } from '../../src/service/hooks/agent/model/script.ts'
import type { LaunchRequest, Prepared, Verdict } from '../../src/service/launch/evidence.ts'
import { hookReportOf } from '../../src/service/launch/hook-report.ts'
import { runAcp } from '../../src/service/launch/profiles/acp.ts'
import { profileOf } from '../../src/service/launch/profiles/by-name.ts'
import { folder, parse, until } from '../support/cli.ts'
import { requires } from '../support/skip.ts'
import { Desk, needs, programs, versionOf, withHook } from './agent.ts'
import { startFaultyModel, type FaultyModel, type Manner } from './faulty-model.ts'

// The judges of `lh launch` with the real agents, against a model API that works, refuses the key, hangs, or dies in mid-answer.

const running = new Set<ChildProcess>()
const models = new Set<FaultyModel>()
afterEach(async () => {
  for (const { pid } of running) {
    try {
      // Codex and Gemini are started by a small program, which a signal to it alone would leave behind.
      process.kill(-pid!, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  running.clear()
  await Promise.all([...models].map(model => model.close()))
  models.clear()
})

const shell: Readonly<Record<Launchable, Step>> = {
  claude: { tool: 'Bash', input: { command: 'echo hi', description: 'd' } },
  codex: { tool: 'exec_command', input: { cmd: 'echo hi' } },
  gemini: { tool: 'run_shell_command', input: { command: 'echo hi', description: 'd' } },
}

/** A hook that writes down what it is sent, in the directory that it is run in. */
const recorder = `
const fs = require('node:fs')
let text = ''
process.stdin.on('data', chunk => (text += chunk)).on('end', () => {
  fs.appendFileSync(process.env.LEASEHOLD_TEST_REPORTS, JSON.stringify({ launch: process.env.LEASEHOLD_LAUNCH_ID, payload: JSON.parse(text) }) + '\\n')
})`

interface Options {
  readonly steps?: readonly Step[]
  readonly desk?: Desk
  /** Changes the command before it is prepared. */
  readonly edit?: (command: readonly string[]) => readonly string[]
  readonly hooks?: 'installed' | 'not installed'
  readonly lh?: string
}

/** One agent that is launched as the launcher does it, and what its judge says. */
class Launched {
  readonly model: FaultyModel
  readonly prepared: Prepared
  readonly desk: Desk
  readonly env: NodeJS.ProcessEnv
  readonly verdicts: Verdict[] = []
  readonly exited: Promise<number | null>
  stdout = ''
  readonly #reports = path.join(folder('reports-'), 'reports.jsonl')
  #read = 0
  readonly #agent: Launchable

  static async start(agent: Launchable, manner: Manner, options: Options = {}): Promise<Launched> {
    const model = await startFaultyModel(manner)
    models.add(model)
    return new Launched(agent, model, options, await profileOf(agent))
  }

  private constructor(agent: Launchable, model: FaultyModel, options: Options, profile: Awaited<ReturnType<typeof profileOf>>) {
    this.#agent = agent
    this.model = model
    this.desk = options.desk ?? new Desk()
    const { home, workspace: cwd } = this.desk
    if (agent === 'gemini') this.desk.allowGemini()
    const launch = launchOf(agent, {
      program: programs[agent],
      home,
      url: model.url,
      steps: options.steps ?? [],
      path: process.env['PATH'] ?? '',
    })
    if (agent === 'codex') pointTo(home, model.url)
    this.env = { ...launch.env, LEASEHOLD_LAUNCH_ID: '01LAUNCH', LEASEHOLD_TEST_REPORTS: this.#reports }
    const edit = options.edit ?? (command => command)
    const lh = options.lh ?? this.desk.lh
    const request: LaunchRequest = {
      command: edit([launch.program, ...launch.args]),
      env: this.env,
      cwd,
      interactive: false,
      ready: null,
      hooksInstalled: options.hooks === 'installed',
      program: { node: process.execPath, hook: path.join(path.dirname(lh), 'hook.cjs') },
    }
    this.prepared = profile.prepare(request)
    const [program = '', ...args] = this.prepared.command
    const child = spawn(program, args, { cwd, env: this.env, stdio: ['ignore', 'pipe', 'ignore'], detached: true })
    running.add(child)
    if (this.prepared.stdio === 'stdout') {
      createInterface({ input: child.stdout }).on('line', line => {
        this.stdout += `${line}\n`
        this.verdicts.push(this.prepared.judge.stdout(line))
      })
    } else child.stdout.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()))
    this.exited = new Promise(resolve => child.once('close', code => resolve(code)))
  }

  get verdict(): Verdict {
    this.#readReports()
    return this.verdicts.at(-1) ?? { state: 'waiting', step: null }
  }

  /** The first verdict that is one, or the last when it has ended. */
  async decided(): Promise<Verdict> {
    let ended = false
    void this.exited.then(() => (ended = true))
    await until(() => this.verdict.state !== 'waiting' || ended, 'the agent is judged')
    return this.verdict
  }

  #readReports(): void {
    if (this.prepared.stdio === 'stdout' || !fs.existsSync(this.#reports)) return
    const lines = fs.readFileSync(this.#reports, 'utf8').split('\n').slice(0, -1)
    for (const line of lines.slice(this.#read)) {
      const { launch, payload } = parse(line)
      expect(launch, 'the hook knows which launch it is').toBe('01LAUNCH')
      this.verdicts.push(this.prepared.judge.hook(hookReportOf(payload, this.#agent, 4711, this.env)!))
    }
    this.#read = lines.length
  }
}

/** A home may be used with several models, one after the other. */
function pointTo(home: string, url: string): void {
  const file = path.join(home, '.codex', 'config.toml')
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(/base_url = .*/, `base_url = "${url}/v1"`))
}

const versions: Readonly<Record<Launchable, string>> = {
  claude: versionOf('@anthropic-ai/claude-code'),
  codex: versionOf('@openai/codex'),
  gemini: versionOf('@google/gemini-cli'),
}

for (const agent of ['claude', 'codex', 'gemini'] as const) {
  needs(agent).describe(`launching ${agent} ${versions[agent]}, judged by its stream`, () => {
    needs(agent).it('accepts it with a good key, at an answer and at a tool call', async () => {
      const answering = await Launched.start(agent, 'good')
      expect(await answering.decided()).toMatchObject({ state: 'accepted', evidence: { kind: 'model-answer', confirmed: true } })
      expect(await answering.exited).toBe(0)
      expect(answering.verdicts.slice(0, -2).find(({ state }) => state === 'rejected')).toBeUndefined()

      const working = await Launched.start(agent, 'good', { steps: [shell[agent]] })
      expect(await working.decided()).toMatchObject({ state: 'accepted', evidence: { kind: 'tool-call' } })
      expect(await working.exited).toBe(0)
    })

    needs(agent).it('rejects it with a wrong key, though it has a session', async () => {
      const launched = await Launched.start(agent, 'wrong key')
      const verdict = await launched.decided()
      expect(verdict.state, launched.stdout).toBe('rejected')
      expect(verdict.state === 'rejected' && verdict.reason).toMatch(/401|authentication|API key/i)
      expect(launched.prepared.judge.clientSessionId).toMatch(/^[0-9a-f-]{36}$/)
      expect(await launched.exited).not.toBe(0)
    })

    needs(agent).it('waits while the API hangs', async () => {
      const launched = await Launched.start(agent, 'hangs')
      await until(() => launched.model.asked() > 0, 'the API was asked')
      expect(launched.verdict.state).toBe('waiting')
      expect(
        launched.verdicts.every(({ state }) => state === 'waiting'),
        launched.stdout,
      ).toBe(true)
      expect(launched.verdict).toMatchObject({ step: expect.stringMatching(/client started|prompt taken/) as string })
    })

    needs(agent).it('rejects it when the API dies in mid-answer', async () => {
      const launched = await Launched.start(agent, 'dies')
      expect((await launched.decided()).state, launched.stdout).toBe('rejected')
      await launched.exited
      expect(launched.verdicts.some(({ state }) => state === 'accepted')).toBe(false)
    })
  })

  needs(agent).describe(`launching ${agent}, judged by its hooks`, () => {
    const text = (command: readonly string[]): readonly string[] =>
      command.filter(word => !['--output-format', 'stream-json', '--verbose', '--json'].includes(word))
    let lh = ''
    beforeAll(() => void (lh = withHook(recorder)))

    const start = async (manner: Manner, steps: readonly Step[] = []): Promise<Launched> => {
      const desk = new Desk(lh)
      // Claude gets them for this launch alone.
      if (agent !== 'claude') await desk.leasehold(`hooks install ${agent}`)
      return Launched.start(agent, manner, { desk, lh, edit: text, steps, hooks: agent === 'claude' ? 'not installed' : 'installed' })
    }

    needs(agent).it('accepts it with a good key and leaves its output as it is', async () => {
      const launched = await start('good')
      expect(await launched.exited).toBe(0)
      expect(await launched.decided()).toMatchObject({ state: 'accepted', evidence: { kind: 'hook', confirmed: true } })
      expect(launched.stdout.trim()).toMatch(/^All done\.$/m)
      const working = await start('good', [shell[agent]])
      expect(await working.decided()).toMatchObject({ state: 'accepted', evidence: { kind: 'hook', seen: /^pre-tool-use/ } })
      await working.exited
    })

    needs(agent).it('never accepts it with a wrong key, nor when the API hangs or dies', async () => {
      for (const manner of ['wrong key', 'dies'] as const) {
        const launched = await start(manner)
        expect(await launched.exited, manner).not.toBe(0)
        // Claude may be gone before the hook about it has reported; then its end is what tells.
        expect((await launched.decided()).state, manner).not.toBe('accepted')
        expect(launched.verdicts.some(({ state }) => state === 'accepted')).toBe(false)
      }
      const launched = await start('hangs')
      await until(
        () => launched.model.asked() > 0 && launched.verdict.state === 'waiting' && launched.verdict.step === 'prompt taken',
        'it hangs',
      )
    })
  })

  needs(agent).describe(`opening a session of ${agent} again`, () => {
    needs(agent).it('is done by the command that is noted, as long as the client has the session', async () => {
      const profile = await profileOf(agent)
      const first = await Launched.start(agent, 'good')
      await first.decided()
      await first.exited
      const id = first.prepared.judge.clientSessionId!
      const { workspace: cwd } = first.desk
      const ask = () => profile.resumable(id, { command: first.prepared.command, env: first.env, cwd })!
      const { command, stored } = ask()
      expect(fs.existsSync(stored!), stored!).toBe(true)
      expect(command).toContain(id)
      expect(command.join(' ')).not.toContain('<<script')

      // Headless, for there is no terminal here: the words that open the session are the same.
      const again = await Launched.start(agent, 'good', {
        desk: first.desk,
        edit: () =>
          agent === 'codex'
            ? [programs.codex, 'exec', 'resume', '--json', '--skip-git-repo-check', id, 'again']
            : [...command, '-p', 'again', '--output-format', 'stream-json', ...(agent === 'claude' ? ['--verbose'] : [])],
      })
      expect(again.prepared.clientSessionId).toBe(id)
      expect((await again.decided()).state, again.stdout).toBe('accepted')
      await again.exited
      expect(again.prepared.judge.clientSessionId, 'the same session').toBe(id)

      fs.rmSync(ask().stored!)
      for (let left = ask().stored!; fs.existsSync(left); left = ask().stored!) fs.rmSync(left)
      expect(fs.existsSync(ask().stored!)).toBe(false)
    })
  })
}

const hasScript = spawnSync('script', ['--version']).status === 0
requires(hasScript && fs.existsSync(programs.claude), 'needs the real claude and script(1), for a terminal').describe(
  'claude in a terminal',
  () => {
    const verdictOf = async (manner: Manner): Promise<{ readonly verdict: Verdict; readonly steps: readonly unknown[] }> => {
      const model = await startFaultyModel(manner)
      models.add(model)
      const desk = new Desk(withHook(recorder))
      const reports = path.join(folder('reports-'), 'reports.jsonl')
      const launch = launchOf('claude', {
        program: programs.claude,
        home: desk.home,
        url: model.url,
        steps: [],
        path: process.env['PATH'] ?? '',
      })
      const env = { ...launch.env, TERM: 'xterm', LEASEHOLD_LAUNCH_ID: '01LAUNCH', LEASEHOLD_TEST_REPORTS: reports }
      const answered = {
        hasCompletedOnboarding: true,
        theme: 'dark',
        customApiKeyResponses: { approved: [launch.env['ANTHROPIC_API_KEY']], rejected: [] },
        projects: { [desk.workspace]: { hasTrustDialogAccepted: true } },
      }
      fs.writeFileSync(path.join(desk.home, '.claude.json'), JSON.stringify(answered))
      const prepared = (await profileOf('claude')).prepare({
        command: [programs.claude, 'say hello'],
        env,
        cwd: desk.workspace,
        interactive: true,
        ready: null,
        hooksInstalled: false,
        program: { node: process.execPath, hook: path.join(path.dirname(desk.lh), 'hook.cjs') },
      })
      const words = prepared.command.map(word => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
      const child = spawn('script', ['-qec', words, '/dev/null'], {
        cwd: desk.workspace,
        env,
        stdio: ['pipe', 'ignore', 'ignore'],
        detached: true,
      })
      running.add(child)
      const steps: unknown[] = []
      let verdict: Verdict = { state: 'waiting', step: null }
      let read = 0
      await until(() => {
        const lines = fs.existsSync(reports) ? fs.readFileSync(reports, 'utf8').split('\n').slice(0, -1) : []
        for (const line of lines.slice(read)) {
          verdict = prepared.judge.hook(hookReportOf(parse(line).payload, 'claude', null, env)!)
          if (verdict.state === 'waiting') steps.push(verdict.step)
        }
        read = lines.length
        return manner === 'hangs' ? model.asked() > 0 && steps.includes('prompt taken') : verdict.state !== 'waiting'
      }, `claude is judged (${manner})`)
      return { verdict, steps }
    }

    requires(hasScript, 'needs script(1)').it('is accepted when its first turn is over, and rejected when the API refuses', async () => {
      const good = await verdictOf('good')
      expect(good.steps).toEqual(['client started', 'prompt taken'])
      expect(good.verdict).toMatchObject({ state: 'accepted', evidence: { kind: 'hook' } })
      expect((await verdictOf('wrong key')).verdict).toEqual({
        state: 'rejected',
        reason: 'authentication_failed: Invalid API key · Fix external API key',
      })
      expect((await verdictOf('hangs')).verdict.state).toBe('waiting')
    })
  },
)

needs('gemini').describe(`gemini ${versions.gemini} over ACP`, () => {
  const drive = async (manner: Manner, steps: readonly Step[] = [], signal = new AbortController().signal) => {
    const model = await startFaultyModel(manner)
    models.add(model)
    const desk = new Desk()
    desk.allowGemini()
    const { env, args } = launchOf('gemini', {
      program: programs.gemini,
      home: desk.home,
      url: model.url,
      steps,
      path: process.env['PATH'] ?? '',
    })
    const child = spawn(programs.gemini, ['--acp', '-m', 'gemini-2.5-flash'], {
      cwd: desk.workspace,
      env,
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    })
    running.add(child)
    const verdicts: Verdict[] = []
    let text = ''
    const ended = runAcp({
      stdin: child.stdin,
      stdout: child.stdout,
      cwd: desk.workspace,
      prompt: args.at(-1)!,
      env,
      permit: 'allow',
      onText: said => (text += said),
      onVerdict: verdict => void verdicts.push(verdict),
      onSession: id => expect(id).toMatch(/^[0-9a-f-]{36}$/),
      signal,
    })
    const outcome = ended.then(
      ({ stopReason }) => stopReason,
      (error: Error) => error,
    )
    return { model, verdicts, outcome, text: () => text }
  }

  needs('gemini').it('accepts it with a good key, and never with a bad API', async () => {
    const good = await drive('good')
    expect(await good.outcome).toBe('end_turn')
    expect(good.verdicts.at(-1)).toMatchObject({ state: 'accepted', evidence: { kind: 'model-answer' } })
    expect(good.text()).toContain('All done.')

    const working = await drive('good', [shell.gemini])
    expect(await working.outcome).toBe('end_turn')
    expect(working.verdicts.at(-1)).toMatchObject({ state: 'accepted', evidence: { kind: 'tool-call' } })

    for (const manner of ['wrong key', 'dies'] as const) {
      const { verdicts, outcome } = await drive(manner)
      expect(await outcome, manner).toBeInstanceOf(Error)
      expect(verdicts.at(-1)?.state, manner).toBe('rejected')
    }

    const controller = new AbortController()
    const hanging = await drive('hangs', [], controller.signal)
    await until(() => hanging.model.asked() > 0, 'the API was asked')
    expect(hanging.verdicts.at(-1)).toEqual({ state: 'waiting', step: 'session opened' })
    controller.abort(new Error('out of time'))
    await hanging.outcome
    expect(hanging.verdicts.at(-1)?.state).toBe('rejected')
  })
})
