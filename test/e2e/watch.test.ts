import fs from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { executable, exits, folder, parse, repository, Running, until } from '../support/cli.ts'
import type { Agent, Doc, Repo } from '../support/cli.ts'
import { anAgent, depart, kill, launch, letGo, openWorkspace, reserve } from '../support/launches.ts'
import type { Opened } from '../support/launches.ts'
import { needsEtcd, startEtcd } from '../support/etcd.ts'
import { needsTmux, Terminal } from '../support/terminal.ts'

// `lh status --watch`: a screen on a terminal, lines in a pipe.

let repo: Repo
let ada: Agent
let workspace: Opened

beforeEach(async () => {
  repo = repository()
  ada = repo.as('human:ada')
  workspace = await openWorkspace(repo.dir)
})

/** Spoils the first record of the log, and gives what it was. */
function damage(): string {
  const whole = repo.log()
  fs.writeFileSync(repo.logFile, whole.replace('acquire', 'aqcuire'))
  return whole
}

/** How a terminal is to be left. */
const asItWas = { isCooked: true, cursor: true, alternate: false }

needsTmux.describe('on a terminal', () => {
  it('shows what changes: a launch in flight, a live session, its end, leases', async () => {
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('human:ada', 'nobody holds anything here', 'q quits')
    await ada.acquire('env:staging')
    await terminal.shows('my leases (1)', '> env:staging  live  human:ada')
    await repo.as('agent:bob').acquire('other')
    await terminal.shows('leases of others (1)', 'ticket:other  live  agent:bob')
    const { hold } = await reserve(workspace, { ticket: 'fix', role: 'intake' })
    await terminal.shows('pending (1)', /ticket:fix {2}intake {2}agent:launched {2}being launched by pid \d+/)
    letGo(hold)
    const agent = anAgent()
    const launched = await launch(workspace, { ticket: 'fix', agent, resume: { command: ['true'], stored: repo.dir } })
    expect(await terminal.shows('live (1)', `dev-fix  live  dev  fix  agent:launched  pid ${agent.witness.pid}`)).not.toContain('pending')
    await kill(agent)
    letGo(launched.hold)
    // No record was written: a death is seen by looking.
    await terminal.shows('restorable (1)', 'dev-fix  restorable  dev  fix')
    terminal.press('q')
    expect(await terminal.left()).toEqual({ code: '0', ...asItWas })
  })

  it('fits every size that it is given, with the chosen line on it', async () => {
    for (let count = 0; count < 30; count++) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await ada.acquire(`env:number-${String(count).padStart(2, '0')}`)
    }
    const terminal = new Terminal(ada, 'status --watch')
    const screen = await terminal.shows('my leases (30)', '> env:number-00')
    expect(screen).not.toContain('env:number-29')
    terminal.press('End')
    await terminal.shows('> env:number-29')
    terminal.resize(40, 6)
    await terminal.shows('lh status', '> env:number-29', /arrows choose.*/)
    expect(terminal.lines()).toHaveLength(6)
    terminal.press('Up')
    await terminal.shows('> env:number-28')
    terminal.resize(120, 50)
    await terminal.shows('my leases (30)', 'env:number-00', '> env:number-28', 'q quits')
    terminal.press('C-c')
    expect(await terminal.left()).toEqual({ code: '0', ...asItWas })
  })

  it.each([
    ['SIGTERM', '143'],
    ['SIGHUP', '129'],
    ['SIGINT', '130'],
    ['SIGQUIT', '131'],
  ] as const)('gives the terminal back after %s', async (signal, code) => {
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('q quits')
    terminal.signal(signal)
    expect(await terminal.left()).toEqual({ code, ...asItWas })
  })

  it('gives the terminal back when it crashes, and says why', async () => {
    const preload = path.join(folder(), 'crash.cjs')
    fs.writeFileSync(preload, `process.on('SIGUSR2', () => { throw new Error('a crash of the test') })`)
    const terminal = new Terminal(ada.with({ NODE_OPTIONS: `--require ${preload}` }), 'status --watch')
    await terminal.shows('q quits')
    terminal.signal('SIGUSR2')
    expect(await terminal.left()).toMatchObject({ ...asItWas })
    await terminal.shows('a crash of the test')
  })

  it('says that nothing is known while the store cannot be read, and goes on when it can', async () => {
    await ada.acquire('env:staging')
    await ada.acquire('env:other')
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('my leases (2)')
    const whole = damage()
    await terminal.shows('what is held is unknown: ')
    fs.writeFileSync(repo.logFile, whole)
    await ada.acquire('env:third')
    expect(await terminal.shows('my leases (3)')).not.toContain('unknown')
    terminal.press('q')
    expect(await terminal.left()).toEqual({ code: '0', ...asItWas })
  })

  it('says so when its store or its repository is gone, and goes on when that is back', async () => {
    await ada.acquire('env:staging')
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('my leases (1)')
    const [store, aside] = [path.join(repo.dir, '.git', 'leasehold'), folder('aside-')]
    fs.renameSync(repo.logFile, path.join(aside, 'log'))
    await terminal.shows('what is held is unknown: ', 'claims.jsonl', /As\s+it\s+was\s+at\s+\d{4}-/, 'env:staging')
    fs.renameSync(path.join(aside, 'log'), repo.logFile)
    expect(await terminal.shows(/^lh status.*\nmy leases \(1\)/)).not.toContain('unknown')
    for (const place of [store, repo.dir]) {
      fs.renameSync(place, path.join(aside, 'place'))
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await terminal.shows('what is held is unknown: ', /is\s+gone/, /As\s+it\s+was\s+at\s+\d{4}-/)).not.toContain('nobody holds')
      // A key that looks at something does not end it.
      terminal.press('Down')
      fs.renameSync(path.join(aside, 'place'), place)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      expect(await terminal.shows(/^lh status.*\nmy leases \(1\)/)).not.toContain('unknown')
    }
    terminal.press('q')
    expect(await terminal.left()).toEqual({ code: '0', ...asItWas })
  })

  needsEtcd.it('says so while etcd does not answer, and goes on when it does', async () => {
    const etcd = await startEtcd()
    try {
      fs.mkdirSync(path.join(repo.dir, '.leasehold'), { recursive: true })
      fs.writeFileSync(path.join(repo.dir, '.leasehold', 'config.yaml'), `store: etcd://${etcd.address}/watch\n`)
      await ada.ok('claim acquire env:staging')
      const terminal = new Terminal(ada, 'status --watch')
      await terminal.shows('my leases (1)', 'env:staging')
      etcd.process.kill('SIGSTOP')
      await terminal.shows('what is held is unknown: ', /As\s+it\s+was\s+at\s+\d{4}-/, 'env:staging')
      etcd.process.kill('SIGCONT')
      expect(await terminal.shows(/^lh status.*\nmy leases \(1\)/)).not.toContain('unknown')
      terminal.press('q')
      expect(await terminal.left()).toEqual({ code: '0', ...asItWas })
    } finally {
      etcd.process.kill('SIGCONT')
      await etcd.stop()
    }
  })

  it('goes on after it was suspended', async () => {
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('q quits')
    terminal.press('C-z')
    await terminal.stopped()
    await until(() => !terminal.lines().join('\n').includes('q quits'), 'the board is off the screen')
    terminal.signal('SIGCONT')
    await terminal.shows('nobody holds anything', 'q quits')
    terminal.press('q')
    expect(await terminal.left()).toEqual({ code: '0', ...asItWas })
  })

  it('c launches intake for a ticket, once there is a command for it', async () => {
    const { ticket } = await ada.ok('ticket create --title', 'Fix the login')
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('tickets that can be claimed (1)', `> ${ticket.id}`)
    terminal.press('c')
    await terminal.shows('lh config set launch.command')
    terminal.press('q')
    await terminal.left()
    terminal.close()
    fs.writeFileSync(
      path.join(repo.dir, '.leasehold', 'config.yaml'),
      `launch:\n  command: [sh, -c, 'echo "here is intake for $LEASEHOLD_TICKET"; exit 3']\n`,
    )
    const again = new Terminal(ada, 'status --watch')
    await again.shows(`> ${ticket.id}`)
    again.press('c')
    await again.shows(/lh launch .* --role intake ended with exit code 10; any key goes back/)
    again.press('Space')
    await again.shows('tickets that can be claimed (1)', `lh launch ${ticket.id} --role intake ended with exit code 10`)
    again.press('q')
    expect(await again.left()).toEqual({ code: '0', ...asItWas })
    expect(repo.story()).toEqual([])
  })

  it('Enter says where a live session works, and opens one that can be opened again', async () => {
    const agent = anAgent()
    const resume = { command: ['sh', '-c', 'echo "opened again, in a terminal: $(test -t 0 && echo yes)"; exit 3'], stored: repo.dir }
    const { session, hold } = await launch(workspace, { ticket: 'fix', agent, resume })
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('> dev-fix  live')
    terminal.press('Enter')
    await terminal.shows(`dev-fix works in ${repo.dir} (pid ${agent.witness.pid})`)
    await kill(agent)
    letGo(hold)
    await depart(workspace, session, 0)
    await terminal.shows('> dev-fix  restorable')
    terminal.press('Enter')
    await terminal.shows('opened again, in a terminal: yes', 'any key goes back')
    terminal.press('Space')
    await terminal.shows('restorable (1)', 'lh session resume dev-fix ended with exit code 10')
    terminal.press('q')
    expect(await terminal.left()).toEqual({ code: '0', ...asItWas })
  })

  it('has the size that the terminal got while a shell had it for itself', async () => {
    const agent = anAgent()
    const resume = { command: ['bash', '-ic', 'echo in a shell; sleep 1; exit 3'], stored: repo.dir }
    const { session, hold } = await launch(workspace, { ticket: 'fix', agent, resume })
    await kill(agent)
    letGo(hold)
    await depart(workspace, session, 0)
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('> dev-fix  restorable')
    terminal.press('Enter')
    await terminal.shows('in a shell')
    terminal.resize(70, 10)
    await terminal.shows('any key goes back')
    terminal.press('Space')
    await terminal.shows('lh status  human:ada', 'restorable (1)', '> dev-fix', 'q quits')
    terminal.press('q')
    expect(await terminal.left()).toEqual({ code: '0', ...asItWas })
  })

  it('r ends a stale session, with a reason', async () => {
    const { hold } = await launch(workspace, { ticket: 'fix', ttlSecs: 1 })
    letGo(hold)
    const terminal = new Terminal(ada, 'status --watch')
    await terminal.shows('stale (1)', '> dev-fix  stale')
    terminal.press('r')
    await terminal.shows('why is dev-fix reclaimed?')
    terminal.press('Escape')
    await terminal.shows('nothing was changed')
    terminal.press('r')
    terminal.type('that machine was quit')
    await terminal.shows('why is dev-fix reclaimed? that machine was quit')
    terminal.press('Enter')
    await terminal.shows('nobody holds anything here')
    terminal.press('q')
    await terminal.left()
    expect(repo.records().at(-1)).toMatchObject({ op: 'force-evict', actor: 'human:ada', reason: 'that machine was quit' })
  })
})

describe('in a pipe', () => {
  it.each(['status --watch', 'claim history --follow'])('%s ends at the first change after its reader went away', async words => {
    await ada.acquire('env:first')
    const line = `"${process.execPath}" "${executable}" ${words} | head -1`
    const piped = new Running('sh', ['-c', line], { cwd: repo.dir, env: { ...process.env, ...ada.env } })
    await until(() => piped.stdout.includes('env:first'), 'its reader has read')
    // oxlint-disable-next-line no-await-in-loop -- one change after the other, and none that outlives the test
    for (let more = 0; piped.child.exitCode === null; more++) await ada.acquire(`env:more-${more}`)
    expect(await piped.ended).toMatchObject({ code: 0 })
  })

  it('is one line for each change, and no escape codes', async () => {
    await ada.acquire('env:staging')
    const watching = ada.start('status --watch')
    await until(() => watching.stdout.includes('\n'), 'it says what there is')
    const { hold } = await reserve(workspace, { ticket: 'fix' })
    await until(() => watching.stdout.includes('appears pending'), 'the launch is seen')
    letGo(hold)
    await until(() => watching.stdout.includes('pending ticket:fix goes'), 'its end is seen')
    const agent = anAgent()
    const launched = await launch(workspace, { ticket: 'fix', agent, resume: { command: ['true'], stored: repo.dir } })
    await until(() => watching.stdout.includes('appears live: dev'), 'the session is seen')
    await ada.ok('claim renew env:staging')
    await kill(agent)
    letGo(launched.hold)
    await until(() => watching.stdout.includes('becomes restorable'), 'its death is seen')
    await ada.ok('claim release env:staging')
    await until(() => watching.stdout.includes('lease env:staging goes'), 'the release is seen')
    watching.kill('SIGTERM')
    const { signal, stdout, stderr } = await watching.ended
    expect({ signal, stderr }).toEqual({ signal: 'SIGTERM', stderr: '' })
    const lines = stdout.trimEnd().split('\n')
    for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[0-9:.]+Z {2}(pending|session|lease) [ -~…]+$/)
    const told = lines.map(line => line.slice(26).replace(/ \(was.*|: .*/, ''))
    // The second launch may be seen in flight too, or not.
    const place = told.indexOf('pending ticket:fix goes')
    expect(told.filter((line, at) => at <= place || !line.startsWith('pending'))).toEqual([
      'lease env:staging is live',
      'pending ticket:fix appears pending',
      'pending ticket:fix goes',
      'session dev-fix appears live',
      'lease ticket:fix appears live',
      'session dev-fix becomes restorable',
      'lease env:staging goes',
    ])
  })

  it('is a document for each change with --json, also on a terminal', async () => {
    const watching = ada.start('status --watch --json')
    await ada.acquire('env:staging')
    await until(() => watching.stdout.includes('\n'), 'the lease is seen')
    watching.kill('SIGTERM')
    const [line] = (await watching.ended).stdout.trimEnd().split('\n')
    const document: Doc = parse(line!)
    expect(document).toMatchObject({ kind: 'lease', name: 'env:staging', standing: 'live', before: null, lease: { token: 1 } })
    expect(document.change).toMatch(/^(is|appears)$/)
  })

  it('ends when nobody reads any more', async () => {
    await ada.acquire('env:staging')
    const watching = ada.startWith(['sh', '-c', '"$@" | head -n 1', 'sh'], 'status --watch')
    await until(() => watching.stdout.includes('env:staging'), 'the first line is read')
    await ada.acquire('env:other')
    expect(await watching.ended).toMatchObject({ code: 0, stderr: '' })
  })

  it('ends as unavailable when the store cannot be read', async () => {
    await ada.acquire('env:staging')
    await ada.acquire('env:other')
    const watching = ada.start('status --watch --json')
    await until(() => watching.stdout.includes('env:other'), 'it says what there is')
    damage()
    const { code, stdout } = await watching.ended
    expect(code).toBe(exits.unavailable)
    expect(parse(stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({ ok: false, error: { code: 'unavailable' } })
  })

  it.each(['status --watch', 'claim history --follow'])(
    '%s ends as unavailable when the store is gone, and ends no lease in words',
    async words => {
      await ada.acquire('env:staging')
      const watching = ada.start(words)
      await until(() => watching.stdout.includes('env:staging'), 'it says what there is')
      fs.renameSync(path.join(repo.dir, '.git', 'leasehold'), path.join(folder('aside-'), 'store'))
      const { code, stdout, stderr } = await watching.ended
      expect(code).toBe(exits.unavailable)
      expect(stderr).toContain('is gone')
      expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    },
  )

  it('is not to be had with --quiet', async () => {
    expect((await ada.refused('usage', 'status --watch --quiet')).message).toContain('--quiet')
  })
})
