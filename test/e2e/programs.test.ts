import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { executable, folder, repository } from '../support/cli.ts'

// `lh` is a few programs: a command that is waited for loads its own, and nothing of the others.

/** The executable without one of its programs. */
function without(program: string): string {
  const copy = folder('programs-')
  fs.cpSync(path.join(path.dirname(executable), '..'), copy, { recursive: true })
  for (const name of fs.readdirSync(path.join(copy, 'bin'))) if (name.startsWith(`${program}.`)) fs.rmSync(path.join(copy, 'bin', name))
  return path.join(copy, 'bin', path.basename(executable))
}

const run = (program: string, cwd: string, ...words: readonly string[]) =>
  spawnSync(process.execPath, [program, ...words], {
    cwd,
    env: { ...process.env, LEASEHOLD_AGENT_ID: 'agent:a' },
    input: '',
    encoding: 'utf8',
  })

const launching = ['launch', '--no-ticket', '--role', 'dev', '--ready', 'fd', '--', 'sh', '-c', 'echo >&3']

describe('a program that is not there', () => {
  it('is missed neither by a launch nor by a hook when it is that of the other commands', () => {
    const [lh, { dir }] = [without('main'), repository()]
    expect(run(lh, dir, 'claim', 'list').stderr).toContain('main.cjs')
    const launched = run(lh, dir, ...launching)
    expect(launched).toMatchObject({ status: 0, stderr: expect.stringContaining('session dev is live') })
    expect(run(lh, dir, 'hook', 'session-start', '--agent', 'claude').stderr).not.toContain('main.cjs')
  })

  it('is missed by a launch when it is its own, and not by its help', () => {
    const [lh, { dir }] = [without('launch-main'), repository()]
    expect(run(lh, dir, ...launching).stderr).toContain('launch-main.cjs')
    for (const help of ['--help', '-h'])
      expect(run(lh, dir, 'launch', help)).toMatchObject({ status: 0, stdout: expect.stringContaining('lh launch <ticket>') })
    // What follows the dashes is the agent's.
    expect(run(lh, dir, ...launching, '--help').stderr).toContain('launch-main.cjs')
    expect(run(lh, dir, '--json', 'claim', 'list')).toMatchObject({ status: 0 })
  })

  it('is told of as usual when it has a name that every object knows', () => {
    const { dir } = repository()
    expect(run(executable, dir, 'constructor')).toMatchObject({ status: 2, stderr: expect.stringContaining('there is no command') })
  })
})
