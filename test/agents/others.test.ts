import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { trustLines } from '../../src/service/hooks/agent/codex.ts'
import type { Launchable } from '../../src/service/hooks/agent/launch.ts'
import type { Step } from '../../src/service/hooks/agent/model/script.ts'
import { until } from '../support/cli.ts'
import { Desk, needs, programs, useModel, versionOf, workUntilTold } from './agent.ts'

interface Hand {
  readonly version: string
  readonly shell: (command: string) => Step
  readonly write: (desk: Desk, name: string) => Step
  readonly settings: string
}

const hands: Readonly<Record<Exclude<Launchable, 'claude'>, Hand>> = {
  codex: {
    version: versionOf('@openai/codex'),
    shell: cmd => ({ tool: 'exec_command', input: { cmd, yield_time_ms: 30_000 } }),
    write: (_, name) => ({ tool: 'apply_patch', input: `*** Begin Patch\n*** Add File: ${name}\n+new\n*** End Patch\n` }),
    settings: '.codex/hooks.json',
  },
  gemini: {
    version: versionOf('@google/gemini-cli'),
    shell: command => ({ tool: 'run_shell_command', input: { command, description: 'd' } }),
    write: (desk, name) => ({ tool: 'write_file', input: { file_path: path.join(desk.workspace, name), content: 'new\n' } }),
    settings: '.gemini/settings.json',
  },
}

for (const agent of ['codex', 'gemini'] as const) {
  const { shell, write, version, settings } = hands[agent]
  needs(agent).describe(`${agent} ${version}`, () => {
    useModel()

    it('blocks the second session while the first works, and lets it run when it has ended', async () => {
      const desk = new Desk()
      await desk.leasehold(`hooks install ${agent}`)
      const steps = [write(desk, 'written.txt'), shell('echo hi > shelled.txt')]
      const first = desk.start(agent, [shell(workUntilTold('first'))])
      await until(() => desk.has('first.begun'), 'the first has begun')
      const said = await desk.run(agent, steps)
      for (const name of ['written.txt', 'shelled.txt']) expect(desk.has(name), said).toBe(false)
      desk.put('first.go', '')
      await first.output()
      expect(desk.has('first.over')).toBe(true)
      const after = await desk.run(agent, steps)
      for (const name of ['written.txt', 'shelled.txt']) expect(desk.has(name), after).toBe(true)
    })

    it('is not locked out by a session that has ended', async () => {
      const desk = new Desk()
      await desk.leasehold(`hooks install ${agent}`)
      await desk.run(agent, [shell('echo hi > one.txt')])
      await desk.run(agent, [shell('echo hi > two.txt')])
      expect(desk.has('one.txt') && desk.has('two.txt')).toBe(true)
    })

    it('leaves no trace when the hooks are taken out', async () => {
      const desk = new Desk()
      const file = path.join(desk.home, settings)
      await desk.leasehold(`hooks install ${agent}`)
      expect(fs.readFileSync(file, 'utf8')).toContain('before-tool')
      await desk.leasehold(`hooks uninstall ${agent}`)
      expect(desk.settings()).toEqual({})
    })

    it('is proven by the canary, which runs it', async () => {
      const desk = new Desk()
      await desk.leasehold(`hooks install ${agent}`)
      expect(await desk.leasehold(`hooks test ${agent} --client ${programs[agent]}`)).toMatchObject({
        ok: true,
        tried: 'client',
        client: { version },
      })
    })
  })
}

needs('codex').describe(`codex ${hands.codex.version} and trust`, () => {
  useModel()

  it('leaves our hooks out until its user has trusted them, and status says so', async () => {
    const desk = new Desk()
    await desk.leasehold('hooks install codex')
    const steps = [hands.codex.shell('echo hi > shelled.txt')]
    const first = desk.start('codex', [hands.codex.shell(workUntilTold('first'))])
    await until(() => desk.has('first.begun'), 'the first has begun')
    expect(await desk.leasehold('hooks status codex', 8)).toMatchObject({ agents: [{ fires: false }] })
    await desk.run('codex', steps, { onlyTrusted: true })
    expect(desk.has('shelled.txt'), 'nobody asked us').toBe(true)
    fs.rmSync(path.join(desk.workspace, 'shelled.txt'))

    const file = path.join(desk.home, '.codex', 'hooks.json')
    fs.appendFileSync(
      path.join(desk.home, '.codex', 'config.toml'),
      trustLines({ path: file, text: fs.readFileSync(file, 'utf8'), dialect: 'json' }),
    )
    expect(await desk.leasehold('hooks status codex')).toMatchObject({ agents: [{ fires: true }] })
    const said = await desk.run('codex', steps, { onlyTrusted: true })
    expect(desk.has('shelled.txt'), said).toBe(false)
    desk.put('first.go', '')
    await first.output()
  })
})
