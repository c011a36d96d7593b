import fs from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect } from 'vitest'
import type { Launchable } from '../../src/service/hooks/agent/launch.ts'
import { geminiMembers, launchOf } from '../../src/service/hooks/agent/launch.ts'
import type { Step } from '../../src/service/hooks/agent/model/script.ts'
import { promptFor } from '../../src/service/hooks/agent/model/script.ts'
import type { Doc, Result } from '../support/cli.ts'
import { exits, folder, parse, Repo, Running, executable, until } from '../support/cli.ts'
import { needsTmux, Terminal } from '../support/terminal.ts'
import { commit, putTicket } from '../support/tickets.ts'
import { git } from '../support/cli.ts'
import { needs, programs } from './agent.ts'
import type { FaultyModel, Manner } from './faulty-model.ts'
import { startFaultyModel } from './faulty-model.ts'
import { enter, usedBefore } from './person.ts'

// `lh launch` with the real agents, from npm, against a model of our own that works, has another key, hangs, or dies in its answer.

const id = '20260607-220225-fix-login'

/** Does something that can be seen, slowly enough that the claim can be looked at meanwhile. */
const stepsOf: Readonly<Record<Launchable, readonly Step[]>> = {
  claude: [{ tool: 'Bash', input: { command: 'sleep 1; echo done > made.txt', description: 'work' } }],
  codex: [{ tool: 'exec_command', input: { cmd: 'sleep 1; echo done > made.txt' } }],
  gemini: [{ tool: 'run_shell_command', input: { command: 'sleep 1; echo done > made.txt', description: 'work' } }],
}

const models: FaultyModel[] = []
afterEach(async () => {
  await Promise.all(models.splice(0).map(model => model.close()))
})

/** A person's repository with a ticket, and an agent that can be launched for it. */
class Bench {
  readonly home = folder('home-')
  readonly repo: Repo
  readonly #agent: Launchable
  readonly #command: readonly string[]
  readonly env: NodeJS.ProcessEnv

  private constructor(agent: Launchable, url: string) {
    const dir = folder('repo-')
    git(dir, 'init', '-q')
    this.repo = new Repo(dir)
    putTicket(dir, id)
    commit(dir)
    this.#agent = agent
    if (agent === 'gemini') {
      fs.mkdirSync(path.join(this.home, '.gemini'))
      fs.writeFileSync(path.join(this.home, '.gemini', 'settings.json'), JSON.stringify(geminiMembers))
    }
    const request = { program: programs[agent], home: this.home, url, steps: stepsOf[agent], path: process.env['PATH'] ?? '' }
    const { program, args, env } = launchOf(agent, request)
    this.#command = [program, ...args]
    this.env = { ...env, LEASEHOLD_AGENT_ID: 'human:ann' }
  }

  static async with(agent: Launchable, manner: Manner): Promise<Bench> {
    const model = await startFaultyModel(manner)
    models.push(model)
    return new Bench(agent, model.url)
  }

  lh(words: string, command: readonly string[] = []): Running {
    const args = [executable, '--json', ...words.split(' '), ...(command.length === 0 ? [] : ['--', ...command])]
    return new Running(process.execPath, args, { cwd: this.repo.dir, env: this.env })
  }

  launch(more = ''): Running {
    return this.lh(`launch fix-login --role dev --profile ${this.#agent}${more}`, this.#command)
  }

  /** The command with which a client that has no terminal goes on in a session. */
  resuming(session: string): readonly string[] {
    const [program, ...args] = this.#command
    if (this.#agent !== 'codex') return [program!, ...args, '--resume', session]
    return [program!, 'exec', 'resume', ...args.slice(1, -1), session, args.at(-1)!]
  }

  async says(words: string): Promise<Doc> {
    return parse((await this.lh(words).ended).stdout)
  }

  async nothingLeft(): Promise<void> {
    expect((await this.says('claim list')).count).toBe(0)
    expect((await this.says('session list')).count).toBe(0)
    expect((await this.says('status')).pending).toEqual([])
    expect(this.repo.records().filter(({ op }) => op === 'acquire')).toEqual([])
    expect(carriers(this.home)).toEqual([])
  }
}

/** Processes that a launch of these tests left behind. */
const carriers = (home: string): readonly string[] =>
  fs
    .readdirSync('/proc')
    .filter(name => /^[0-9]+$/.test(name) && name !== String(process.pid))
    .filter(pid => {
      try {
        return (
          fs.readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`HOME=${home}`) &&
          !/\) Z /.test(fs.readFileSync(`/proc/${pid}/stat`, 'latin1'))
        )
      } catch {
        return false
      }
    })

const failureOf = ({ stdout, code }: Result): Doc => ({ code, ...parse(stdout).error })

describe.each(['claude', 'codex', 'gemini'] as const)('lh launch with the real %s', agent => {
  const needed = needs(agent)

  needed.it('claims the ticket once the agent works, keeps it while it does, and can open it again or gives it back', async () => {
    const bench = await Bench.with(agent, 'good')
    const running = bench.launch()
    const { stdout, code, stderr } = await running.ended
    expect({ code, stderr }).toMatchObject({ code: 0 })
    const { lease, session } = parse(stdout)
    expect(lease).toMatchObject({ resource: `ticket:${id}`, session: session.session_id, holder: { agent_id: 'human:ann' } })
    expect(session).toMatchObject({ role: 'dev', profile: agent, origin: 'ticket-claim', evidence: { confirmed: true } })
    expect(session.evidence.kind).toMatch(/^(model-answer|tool-call|hook)$/)
    expect(fs.readFileSync(path.join(bench.repo.dir, 'made.txt'), 'utf8')).toBe('done\n')
    const acquired = bench.repo.records().filter(({ op }) => op === 'acquire')
    expect(acquired).toMatchObject([{ resource: `ticket:${id}`, session: { session_id: session.session_id, state: 'live' } }])
    const [left] = (await bench.says('session list')).sessions
    // Its client keeps the session: the claim waits for it.
    expect(left).toMatchObject({ session_id: session.session_id, standing: 'restorable' })
    expect(left.client_session_ids).toHaveLength(1)
    const again: Doc = failureOf(await bench.launch().ended)
    expect(again).toMatchObject({ exit: exits.held })
    expect(`${again.message} ${again.hint}`).toContain(`lh session resume ${left.name}`)
    const resumed = await bench.lh(`session resume ${left.name} --ready-timeout 30s`, bench.resuming(left.client_session_ids[0])).ended
    expect(resumed, 'resumed').toMatchObject({ code: 0 })
    expect(parse(resumed.stdout).lease.token).toBeGreaterThan(lease.token)
    expect(await bench.says(`session end ${left.name}`)).toMatchObject({ ok: true, released: [`ticket:${id}`] })
    expect((await bench.says('claim list')).count).toBe(0)
  })

  needed.it('leaves nothing with a wrong key', async () => {
    const bench = await Bench.with(agent, 'wrong key')
    const failed = failureOf(await bench.launch().ended)
    expect(failed).toMatchObject({ exit: exits.launch_failed })
    await bench.nothingLeft()
  })

  needed.it('leaves nothing when the API hangs', async () => {
    const bench = await Bench.with(agent, 'hangs')
    const failed = failureOf(await bench.launch(' --ready-timeout 6s').ended)
    expect(failed).toMatchObject({ exit: exits.launch_failed })
    expect(failed.message).toContain('6 s')
    await bench.nothingLeft()
  })

  needed.it('leaves nothing when the API dies in the middle of its first answer', async () => {
    const bench = await Bench.with(agent, 'dies')
    const running = bench.launch(' --ready-timeout 10s')
    if (agent === 'codex') {
      // What came through of the answer is an answer to it, and it begins to work on it: then it fails as a launched agent.
      const { stdout, code } = await running.ended
      expect(code).toBe(1)
      expect(parse(stdout).session.evidence).toMatchObject({ confirmed: true })
      expect((await bench.says('session list')).sessions).toMatchObject([{ standing: 'restorable', exit_code: 1 }])
      return
    }
    const failed = failureOf(await running.ended)
    expect(failed).toMatchObject({ exit: exits.launch_failed })
    await bench.nothingLeft()
  })
})

describe('lh launch of the real Claude Code in a terminal', () => {
  const ready = fs.existsSync(programs.claude) ? needsTmux : needs('claude')

  ready.it('waits for a person as long as they like, claims at the first tool, and can open the session again', async () => {
    const bench = await Bench.with('claude', 'good')
    const { dir } = bench.repo
    fs.writeFileSync(path.join(bench.home, '.claude.json'), usedBefore(dir, String(bench.env['ANTHROPIC_API_KEY']).slice(-20)))
    const person = bench.repo.as('human:ann', { ...bench.env, CLAUDECODE: undefined, CI: undefined })
    const claude = `${programs.claude} --permission-mode acceptEdits --allowedTools Bash`
    const terminal = new Terminal(person, `launch fix-login --role dev --ready-timeout 5s -- ${claude}`, { columns: 120, rows: 40 })
    await terminal.shows('Claude Code', 'accept edits on')
    expect((await bench.says('status')).pending).toMatchObject([{ resource: `ticket:${id}`, role: 'dev', launcher_alive: true }])
    expect((await bench.says('claim acquire fix-login')).error).toMatchObject({ code: 'held' })
    enter(terminal, promptFor(stepsOf.claude))
    await until(async () => (await bench.says('session list')).sessions[0]?.standing === 'live', 'the launch is confirmed')
    // Nothing of ours is written over the agent's screen.
    const screen = await terminal.shows('All done')
    expect(screen).not.toMatch(/leasehold:|is live \(/)
    leave(terminal)
    await terminal.shows('its claim is kept', /ended 0 /)
    const [session] = (await bench.says('session list')).sessions
    expect(session).toMatchObject({ standing: 'restorable', evidence: { kind: 'hook', confirmed: true } })
    const again = new Terminal(person, `session resume ${session.name}`, { columns: 120, rows: 40 })
    await again.shows('All done')
    enter(again, 'hello')
    await until(async () => (await bench.says('session list')).sessions[0]?.standing === 'live', 'the session is open again')
    leave(again)
    await again.shows('its claim is kept', /ended 0 /)
    expect(bench.repo.records().filter(({ op }) => op === 'acquire' || op === 'resume')).toMatchObject([
      { op: 'acquire' },
      { op: 'resume' },
    ])
  })
})

const leave = (terminal: Terminal): void => enter(terminal, '/exit')
