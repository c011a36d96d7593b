import { spawn, type ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { build } from 'esbuild'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { folder, sleep } from '../support/cli.ts'
import { Home, hookProgram, passed, workspace } from '../support/hook.ts'
import { requires } from '../support/skip.ts'

// What happens to a session lock when many want it at once, and when those who write it are killed or stopped.

/** More with LEASEHOLD_TEST_FULL=1: what is promised, at its full size. */
const full = process.env['LEASEHOLD_TEST_FULL'] === '1'
const workers: ChildProcess[] = []
let program: string

beforeAll(async () => {
  program = path.join(folder('worker-'), 'worker.cjs')
  // The lock's addon is looked for from where the program lies.
  fs.symlinkSync(path.resolve(import.meta.dirname, '../../node_modules'), path.join(path.dirname(program), 'node_modules'))
  await build({
    entryPoints: [path.resolve(import.meta.dirname, '../support/worker-session-lock.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'error',
  })
})

afterEach(() => {
  for (const child of workers.splice(0)) child.kill('SIGKILL')
})

/** A long-lived process that answers line by line. */
async function worker(runtime: string, session: string) {
  const child = spawn(process.execPath, [program, runtime, session], { stdio: ['pipe', 'pipe', 'inherit'] })
  workers.push(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => String((await lines.next()).value)
  expect(await next()).toBe('ready')
  return {
    child,
    next,
    ask(line: string): Promise<string> {
      child.stdin.write(`${line}\n`)
      return next()
    },
  }
}

/** What may lie in the directory of the locks. */
const known = /^(?:session-lock\.lock|session-lock-[0-9a-f]{12}\.json|leasehold-hook\.log)$/

describe('fifty at one instant', () => {
  const rounds = full ? 1000 : 25
  it(`long-lived: exactly one wins each of ${rounds} rounds, and the others are told who`, async () => {
    const home = new Home()
    const all = await Promise.all(Array.from({ length: 50 }, (_, at) => worker(home.runtime, `session-${at}`)))
    for (let round = 0; round < rounds; round++) {
      const when = Date.now() + 60
      const answers = await Promise.all(all.map(each => each.ask(`enter ${when} /workspace`)))
      const winner = answers.findIndex(answer => answer === 'won taken')
      expect(answers.filter(answer => answer.startsWith('won'))).toEqual(['won taken'])
      for (const [at, answer] of answers.entries()) if (at !== winner) expect(answer).toBe(`lost to session-${winner}`)
      expect(home.records()).toMatchObject([{ session_id: `session-${winner}` }])
      expect(await all[winner]!.ask('leave')).toBe('left')
    }
    expect(home.files()).toEqual(['session-lock.lock'])
  }, 600_000)

  const launches = full ? 20 : 2
  it(`fresh processes: exactly one wins each of ${launches} rounds`, async () => {
    const ws = workspace()
    for (let round = 0; round < launches; round++) {
      const home = new Home()
      const results = await Promise.all(Array.from({ length: 50 }, (_, at) => home.session(`s-${at}`, ws).write(`${ws}/a`)))
      // Whoever starts so late that its deadline is over before it has run lets its tool run, and says so in the log.
      const late = home
        .log()
        .split('\n')
        .filter(line => / before-tool /.test(line)).length
      const [record] = home.records()
      expect(results.filter(({ code }) => code === 0).length - late).toBe(1)
      for (const { code, stderr } of results) if (code === 2) expect(stderr).toContain(`held by ${record.session_id} `)
      for (const name of home.files()) expect(name).toMatch(known)
    }
  }, 600_000)
})

describe('killed and stopped', () => {
  it('a hook that is killed anywhere leaves nothing behind that is in the way', async () => {
    const home = new Home()
    const ws = workspace()
    const payload = (id: string) => JSON.stringify({ session_id: id, cwd: ws, tool_name: 'Write', tool_input: { file_path: `${ws}/a` } })
    const rounds = full ? 400 : 40
    for (let round = 0; round < rounds; round++) {
      const child = spawn(process.execPath, [hookProgram, round % 3 === 0 ? 'session-end' : 'before-tool'], {
        env: { PATH: process.env['PATH'], HOME: home.dir },
        stdio: ['pipe', 'ignore', 'ignore'],
      })
      child.stdin.on('error', () => undefined)
      child.stdin.end(payload('killed'))
      await sleep(15 + (round % 40) * 2)
      child.kill('SIGKILL')
      for (const name of home.files()) expect(name).toMatch(known)
    }
    expect(await home.session('killed', ws).write(`${ws}/a`)).toEqual(passed)
    expect(await home.session('killed', ws).end()).toEqual(passed)
    expect(home.records()).toEqual([])
    expect(await home.session('next', ws).write(`${ws}/a`)).toEqual(passed)
  }, 120_000)

  it.each(['', '{', '{"session_id":"x"', 'null', '\u0000'.repeat(1024), 'x'.repeat(100_000)])(
    'a record that is %j is nobody’s',
    async text => {
      const home = new Home()
      const ws = workspace()
      await home.session('first', ws).write(`${ws}/a`)
      const file = path.join(home.runtime, home.files()[0]!)
      fs.writeFileSync(file, text)
      expect(await home.session('second', ws).write(`${ws}/a`)).toEqual(passed)
      expect(home.records()).toMatchObject([{ session_id: 'second' }])
      expect(home.log()).toBe('')
    },
  )

  it('a hook that is stopped while it writes keeps nobody waiting longer than the deadline', async () => {
    const home = new Home()
    const ws = workspace()
    const stopped = await worker(home.runtime, 'stopped')
    expect(await stopped.ask('stop')).toBe('stopped')
    const start = performance.now()
    const results = await Promise.all([1, 2].map(at => home.session(`s-${at}`, ws).write(`${ws}/a`)))
    expect(performance.now() - start).toBeLessThan(15_000)
    for (const result of results) expect(result).toEqual(passed)
    expect(home.log()).toMatch(/session-lock\.lock stayed locked by another process/)
    expect(await home.session('s', ws, { LEASEHOLD_SESSION_LOCK_FAIL: 'closed' }).write(`${ws}/a`)).toMatchObject({ code: 2, stdout: '' })
    stopped.child.kill('SIGCONT')
    expect(await stopped.next()).toBe('went on')
    expect(await home.session('s-1', ws).write(`${ws}/a`)).toEqual(passed)
    expect(await home.session('s-2', ws).write(`${ws}/a`)).toMatchObject({ code: 2 })
  })

  it('the clock of the wall decides nothing within one boot', async () => {
    const home = new Home()
    const ws = workspace()
    await home.session('first', ws).write(`${ws}/a`)
    const file = path.join(home.runtime, home.files()[0]!)
    const record = home.records()[0]
    for (const acquired_at of [0, 1, record.acquired_at - 86_400_000, record.acquired_at + 86_400_000]) {
      fs.writeFileSync(file, JSON.stringify({ ...record, acquired_at }))
      expect(await home.session('second', ws).write(`${ws}/a`)).toMatchObject({ code: 2 })
    }
    fs.writeFileSync(file, JSON.stringify({ ...record, clk: { ...record.clk, m: record.clk.m - 300_001 } }))
    expect(await home.session('second', ws).write(`${ws}/a`)).toEqual(passed)
  })
})

describe('what somebody else put there', () => {
  it('links, pipes and second names are replaced, and what they lead to is not touched', async () => {
    const home = new Home()
    const ws = workspace()
    await home.session('first', ws).write(`${ws}/a`)
    const file = path.join(home.runtime, home.files()[0]!)
    const target = path.join(folder('t-'), 'target')
    const put = {
      'symbolic link': () => fs.symlinkSync(target, file),
      'second name': () => fs.linkSync(target, file),
      'dangling link': () => fs.symlinkSync('/nowhere/at/all', file),
    }
    for (const [what, make] of Object.entries(put)) {
      fs.writeFileSync(target, '{"session_id":"planted","acquired_at":99999999999999,"ttl_ms":99999999}')
      fs.rmSync(file)
      make()
      expect([what, await home.session(what, ws).write(`${ws}/a`)]).toEqual([what, passed])
      expect(fs.readFileSync(target, 'utf8')).toContain('planted')
      expect(fs.lstatSync(file).isFile()).toBe(true)
      expect(home.records()).toMatchObject([{ session_id: what }])
    }
    fs.rmSync(file)
    fs.mkdirSync(file)
    expect(await home.session('x', ws).write(`${ws}/a`)).toEqual(passed)
    expect(home.log()).toMatch(/EISDIR|EPERM/)
  })

  const root = requires(process.getuid?.() === 0, 'needs root, to be several users')
  root.it('another user’s directory, lock or record is left alone', async () => {
    const ws = workspace()
    const theirs = new Home()
    fs.mkdirSync(theirs.runtime, { recursive: true })
    fs.chownSync(theirs.runtime, 12_345, 12_345)
    expect(await theirs.session('s', ws).write(`${ws}/a`)).toEqual(passed)
    expect(theirs.files()).toEqual([])
    const home = new Home()
    fs.chownSync(home.dir, 12_345, 12_345)
    expect(await home.session('s', ws).write(`${ws}/a`)).toEqual(passed)
    expect(fs.readdirSync(home.dir)).toEqual([])
  })
})
