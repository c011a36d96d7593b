import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { openPipe } from '../../../src/host/pipe.ts'
import type { Definition } from '../../../src/service/gate/definition.ts'
import { keptBytes, runCommand, startDirectory, type CommandEnd, type CommandRun } from '../../../src/service/gate/run.ts'
import { isRunning } from '../../support/cli.ts'

// The command of a gate, with real shells.

const base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-gate-run-')))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const quiet = new AbortController().signal
const run = (command: string, more: Partial<CommandRun> = {}): Promise<CommandEnd> =>
  runCommand({ command, cwd: base, env: process.env, timeoutMs: 60_000, stop: quiet, kill: quiet, ...more })
const pidsIn = (output: Buffer): number[] => output.toString().trim().split(/\s+/).map(Number)

describe('the command of a gate', () => {
  it('ends as it ends, with what it said in the order in which it was said', async () => {
    const end = await run('for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 3')
    expect(end).toMatchObject({ exitCode: 3, signal: null, timedOut: false, stopped: false, dropped: 0 })
    expect(end.output.toString()).toBe('out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n')
    expect(await run('true')).toMatchObject({ exitCode: 0, output: Buffer.alloc(0) })
    expect(await run('kill -SEGV $$')).toMatchObject({ exitCode: null, signal: 'SIGSEGV' })
    expect((await run('no-such-program-anywhere')).exitCode).toBe(127)
  })

  it('has no input, its own group, and files for its output that can be opened by name', async () => {
    expect(await run('cat; echo end')).toMatchObject({ exitCode: 0, output: Buffer.from('end\n') })
    expect((await run('echo here >/dev/stderr; echo there >/dev/stdout')).output.toString()).toBe('here\nthere\n')
    const [pid, group] = pidsIn((await run('echo $$ $(ps -o pgid= -p $$)')).output)
    expect(group).toBe(pid)
  })

  it('tells its output as it comes, and of much of it keeps the end', async () => {
    let told = 0
    const end = await run('seq 1 100000', { onOutput: chunk => (told += chunk.length) })
    expect(end.output.length).toBe(keptBytes)
    expect(end.output.toString().endsWith('99999\n100000\n')).toBe(true)
    expect(told).toBe(588_895)
    expect(end.dropped).toBe(588_895 - keptBytes)
  })

  it('is over at its time limit', async () => {
    const end = await run('echo before; exec sleep 600', { timeoutMs: 300 })
    expect(end).toMatchObject({ exitCode: null, signal: 'SIGTERM', timedOut: true, output: Buffer.from('before\n') })
  })

  it('may tidy up at its time limit', async () => {
    const end = await run('trap "echo tidied; exit 4" TERM; echo up; while :; do sleep 0.05; done', { timeoutMs: 500 })
    expect(end).toMatchObject({ exitCode: 4, timedOut: true })
    expect(end.output.toString()).toMatch(/^up\n(Terminated\n)?tidied\n$/)
  })

  it('is killed with all its children when it ignores the limit', async () => {
    const end = await run(`sh -c 'trap "" TERM; sleep 600 & echo $! $$; wait'`, { timeoutMs: 500 })
    expect(end.timedOut).toBe(true)
    const pids = pidsIn(end.output)
    expect(pids).toHaveLength(2)
    expect(pids.filter(isRunning)).toEqual([])
  })

  it('leaves nothing of its group when it ends by itself', async () => {
    const end = await run('sleep 600 & echo $!; exit 0')
    expect(end).toMatchObject({ exitCode: 0, timedOut: false })
    expect(pidsIn(end.output).filter(isRunning)).toEqual([])
  })

  it('is stopped when it has to be, and at once when that takes too long', async () => {
    const [stop, kill] = [new AbortController(), new AbortController()]
    const ending = run('trap "" TERM; echo $$; while :; do sleep 0.1; done', {
      stop: stop.signal,
      kill: kill.signal,
      onOutput: () => {
        stop.abort()
        setTimeout(() => kill.abort(), 100)
      },
    })
    const end = await ending
    expect(end).toMatchObject({ signal: 'SIGKILL', stopped: true, timedOut: false })
    expect(await run('sleep 600', { stop: AbortSignal.abort() })).toMatchObject({ stopped: true, signal: 'SIGTERM' })
  })

  it('is heard where no pipe can be made, too', async () => {
    vi.stubEnv('TMPDIR', join(base, 'gone'))
    try {
      expect(openPipe()).toBeNull()
      const end = await run('echo out; echo err >&2; exit 5')
      expect(end.exitCode).toBe(5)
      expect(end.output.toString().split('\n').toSorted()).toEqual(['', 'err', 'out'])
      expect(await run('trap "" TERM; sleep 600', { timeoutMs: 300, kill: AbortSignal.abort() })).toMatchObject({ timedOut: true })
    } finally {
      vi.unstubAllEnvs()
    }
  })

  it('that cannot be started is a fault', async () => {
    await expect(run('true', { cwd: join(base, 'gone') })).rejects.toMatchObject({ code: 'unavailable' })
  })
})

describe('where a gate starts', () => {
  const gate = (workingDir: string | null): Definition => ({ key: 'g', workingDir }) as Definition
  it('is the top of the worktree, or a directory inside', () => {
    mkdirSync(join(base, 'web'))
    expect(startDirectory(base, gate(null))).toBe(base)
    expect(startDirectory(base, gate('web'))).toBe(join(base, 'web'))
    expect(() => startDirectory(base, gate('none'))).toThrow('there is no such directory')
  })

  it('is not outside, also not by a link', () => {
    symlinkSync('/', join(base, 'out'))
    expect(() => startDirectory(base, gate('out'))).toThrow('leads out of the worktree')
  })
})
