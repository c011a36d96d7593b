import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import {
  type Agent,
  type Doc,
  executable,
  exits,
  folder,
  git,
  isRunning,
  parse,
  type Repo,
  repository,
  sleep,
  success,
  until,
} from '../support/cli.ts'
import { requires } from '../support/skip.ts'

// Gates, as people and agents use them: real commands in real repositories.

const needsScript = requires(spawnSync('script', ['--version']).status === 0, 'needs the program script (util-linux), for a terminal')

const id = '20260607-220225-fix-login'
const lh = `"${process.execPath}" "${executable}"`

const commit = (dir: string, name: string): string => {
  git(dir, 'add', '-A')
  git(dir, '-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-q', '--allow-empty', '-m', name)
  return git(dir, 'rev-parse', 'HEAD')
}

/** A ticket as a person could have written it. */
function writeTicket(dir: string, gates: readonly string[] = []): void {
  const directory = path.join(dir, '.leasehold', 'tickets', id)
  fs.mkdirSync(directory, { recursive: true })
  fs.writeFileSync(
    path.join(directory, 'ticket.md'),
    `---\nid: ${id}\nslug: fix-login\ntitle: Fix the login # ours\nstatus: open\nkind: task\npriority: P2\nlabels: []\nworkflow_state: ready\n` +
      `created_at: 2026-06-07T22:02:25Z\nupdated_at: 2026-06-07T22:02:25Z\nassignee: null\nlegacy_ticket: null\nqueued_by: null\nqueued_at: null\n` +
      `depends_on: []\ngates: [${gates.join(', ')}]\nmine: kept\n---\n\nThe body.\n`,
  )
}

/** A repository with a ticket that has these gates, each defined by its command; null: a manual one. */
function ticketWith(gates: Readonly<Record<string, string | null>>): Repo {
  const repo = repository()
  writeTicket(repo.dir, Object.keys(gates))
  fs.mkdirSync(path.join(repo.dir, '.leasehold', 'gates'), { recursive: true })
  for (const [key, command] of Object.entries(gates)) {
    const text = command === null ? 'mode: manual\n' : `command: ${JSON.stringify(command)}\n`
    fs.writeFileSync(path.join(repo.dir, '.leasehold', 'gates', `${key}.yaml`), text)
  }
  fs.writeFileSync(path.join(repo.dir, 'code'), '1')
  commit(repo.dir, 'first')
  return repo
}

const eventsFile = (dir: string): string => path.join(dir, '.leasehold', 'tickets', id, 'events.jsonl')
const events = (dir: string): readonly Doc[] =>
  fs.existsSync(eventsFile(dir))
    ? fs
        .readFileSync(eventsFile(dir), 'utf8')
        .split('\n')
        .filter(line => line !== '')
        .map(line => parse(line))
    : []
const statesOf = async (a: Agent): Promise<Doc> =>
  Object.fromEntries((await a.ok('gate list fix-login')).gates.map(({ key, state }: Doc) => [key, state]))

/** The numbers that the command of a gate wrote into the file `pids`. */
const pidsOf = (dir: string): Promise<readonly number[]> =>
  until(() => {
    const file = path.join(dir, 'pids')
    return fs.existsSync(file) && fs.readFileSync(file, 'utf8').endsWith('\n') ? numbers(fs.readFileSync(file, 'utf8')) : null
  }, 'the gate runs')
const numbers = (text: string): readonly number[] => text.trim().split(' ').map(Number)

/** A failed run: exit 8, and the results beside the error. */
async function failedRun(a: Agent, ...words: readonly string[]): Promise<Doc> {
  const { code, stdout, stderr } = await a.run('--json gate run fix-login', ...words)
  expect({ code, stderr, stdout }).toMatchObject({ code: 8, stderr: '' })
  const document = parse(stdout)
  expect(document).toMatchObject({ ok: false, error: { code: 'policy', exit: 8 } })
  return document
}

describe('defining gates', () => {
  it('writes a file each, says when nothing changed, and what did', async () => {
    const repo = repository()
    const a = repo.as(null)
    expect((await a.run('gate list')).stdout).toContain('lh gate define tests')
    const made = await a.ok('gate define tests --timeout 90 --title', 'Unit tests', '--command', 'npm test')
    expect(made).toMatchObject({
      outcome: 'created',
      changes: [],
      gate: { key: 'tests', stage: 'post', mode: 'auto', command: 'npm test', timeout_secs: 90, source: 'here' },
    })
    expect(fs.readFileSync(made.gate.file, 'utf8')).toBe('title: Unit tests\nstage: post\nmode: auto\ncommand: npm test\ntimeout: 1m30s\n')
    expect((await a.ok('gate define tests --timeout 1m30s --title', 'Unit tests', '--command', 'npm test')).outcome).toBe('unchanged')
    const replaced = await a.run('gate define tests --stage pre --timeout 5m --command', 'make')
    expect(replaced.stdout).toMatch(
      /^replaced tests\n {2}- stage: post\n {2}\+ stage: pre\n {2}- command: npm test\n {2}\+ command: make\n {2}- timeout: 1m30s\n {2}\+ timeout: 5m\n/,
    )
    await a.ok('gate define review --manual')
    expect((await a.ok('gate list')).gates.map(({ key, mode, stage }: Doc) => [key, mode, stage])).toEqual([
      ['review', 'manual', 'post'],
      ['tests', 'auto', 'pre'],
    ])
    expect((await a.run('gate list')).stdout).toBe('review  post  manual\ntests   pre   auto    5m  make\n')
  })

  it('changes what is named and keeps the rest of the file', async () => {
    const repo = repository()
    const a = repo.as(null)
    const words = ['--title', 'Build', '--description', 'It builds', '--command', 'make'] as const
    const { file } = (await a.ok('gate define build --stage pre --timeout 3m', ...words)).gate
    const content = (): string => fs.readFileSync(file, 'utf8')
    fs.writeFileSync(file, `# ours\n${content()}env:\n  LEVEL: "2"\nworking_dir: src\n`)
    const before = content()
    const { outcome, changes } = await a.ok('gate define build --timeout 2m')
    expect([outcome, changes]).toEqual(['replaced', [{ name: 'timeout', from: '3m', to: '2m' }]])
    expect(content()).toBe(before.replace('3m', '2m'))
    await a.ok('gate define build --command', 'make all')
    await a.ok('gate define build --title', 'All of it')
    await a.ok('gate define build --description', 'It all builds')
    const edited = before
      .replace('3m', '2m')
      .replace('make', 'make all')
      .replace('Build', 'All of it')
      .replace('It builds', 'It all builds')
    expect(content()).toBe(edited)
    await a.ok('gate define build --stage post')
    expect(content()).toBe(edited.replace('pre', 'post'))
    expect((await a.ok('gate define build')).outcome).toBe('unchanged')
  })

  it('makes a manual gate automatic and the other way round, and keeps the rest', async () => {
    const repo = repository()
    const a = repo.as(null)
    const { file } = (await a.ok('gate define review --manual --stage pre --title', 'Read it')).gate
    fs.appendFileSync(file, 'timeout: 7m\n')
    expect((await a.refused('usage', 'gate define review --timeout 5m')).message).toMatch(/no time limit/)
    const titled = await a.ok('gate define review --title', 'Somebody read it')
    expect(titled.gate).toMatchObject({ mode: 'manual', stage: 'pre', title: 'Somebody read it' })
    expect(fs.readFileSync(file, 'utf8')).toContain('timeout: 7m')
    const rest = { stage: 'pre', title: 'Somebody read it' }
    expect((await a.ok('gate define review --command', 'true')).gate).toMatchObject({
      ...rest,
      mode: 'auto',
      command: 'true',
      timeout_secs: 420,
    })
    expect((await a.ok('gate define review --manual')).gate).toMatchObject({ ...rest, mode: 'manual', command: null, timeout_secs: null })
  })

  it('refuses what cannot be meant, and then nothing is written', async () => {
    const repo = repository()
    const a = repo.as(null)
    for (const [words, message] of [
      ['gate define Tests --manual', /"Tests" is not the key of a gate/],
      ['gate define ../x --manual', /is not the key/],
      ['gate define x', /needs --command or --manual/],
      ['gate define x --manual --command y', /needs only one/],
      ['gate define x --manual --timeout 5m', /no time limit/],
      ['gate define x --command y --timeout 25h', /outside 1s to 24h/],
      ['gate define x --command y --timeout 0', /outside 1s to 24h/],
      ['gate define x --command y --timeout soon', /is no duration/],
      ['gate define x --command y --stage middle', /pre, post/],
      ['gate define x --command=', /--command is empty/],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.refused('usage', words)).message, words).toMatch(message)
    }
    expect(fs.existsSync(path.join(repo.dir, '.leasehold'))).toBe(false)
  })

  it('of a broken file says where it is broken', async () => {
    const repo = ticketWith({ tests: 'true', lint: 'true' })
    const a = repo.as('agent:a')
    fs.writeFileSync(path.join(repo.dir, '.leasehold', 'gates', 'tests.yaml'), 'title: x\ncomand: make\n')
    const error = await a.refused('usage', 'gate list')
    expect(error.message).toMatch(/tests\.yaml:2: a gate has no key "comand"/)
    expect(error.hint).toBe('did you mean command?')
    await a.refused('usage', 'gate run fix-login tests')
    expect(events(repo.dir)).toEqual([])
  })
})

describe('the gates of a ticket', () => {
  it('are added once, and the file stays as it was otherwise', async () => {
    const repo = ticketWith({})
    const a = repo.as('agent:a')
    await a.ok('gate define tests --command true')
    await a.ok('gate define review --manual')
    expect(await a.ok('gate add fix-login tests')).toMatchObject({ ticket: id, gate: { key: 'tests' }, added: ['tests'] })
    expect(await a.ok('gate add fix-login tests review')).toMatchObject({ count: 2, added: ['review'] })
    expect(await a.ok('gate add fix-login tests')).toMatchObject({ added: [] })
    const text = fs.readFileSync(path.join(repo.dir, '.leasehold', 'tickets', id, 'ticket.md'), 'utf8')
    expect(text).toContain('gates: [tests, review]\nmine: kept\n---\n\nThe body.\n')
    expect(text).toContain('title: Fix the login # ours\n')
    expect(events(repo.dir).map(({ type, actor, keys }) => [type, actor, keys])).toEqual([
      ['edited', 'agent:a', ['gates']],
      ['edited', 'agent:a', ['gates']],
    ])
    expect(await statesOf(a)).toEqual({ tests: 'missing', review: 'missing' })
    expect((await a.ok('claim list')).count).toBe(0)
  })

  it('have to be defined, and the ticket has to be there', async () => {
    const repo = ticketWith({ tests: 'true' })
    const a = repo.as('agent:a')
    const unknown = await a.refused('not_found', 'gate add fix-login test')
    expect(unknown.hint).toMatch(/did you mean tests\?.*lh gate define test /)
    await a.refused('not_found', 'gate add no-such-ticket tests')
    await a.refused('not_found', 'gate run fix-login other')
    await a.refused('not_found', 'gate history fix-login other')
    await a.ok('gate define other --command true')
    expect((await a.refused('not_found', 'gate run fix-login other')).hint).toContain(`lh gate add ${id} other`)
    fs.rmSync(path.join(repo.dir, '.leasehold', 'gates', 'tests.yaml'))
    expect(await statesOf(a)).toEqual({ tests: 'undefined' })
    expect((await a.refused('not_found', 'gate run fix-login')).message).toContain('no gate "tests" is defined')
    expect(events(repo.dir)).toEqual([])
  })

  it('are another’s to change while another has the ticket', async () => {
    const repo = ticketWith({ tests: 'touch ran', review: null })
    await repo.as('agent:a').acquire(id)
    const b = repo.as('agent:b')
    await b.ok('gate define more --manual')
    for (const words of [
      'gate run fix-login',
      'gate pass fix-login review',
      'gate fail fix-login review --message no',
      'gate add fix-login more',
    ]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await b.refused('not_owner', words), words).toMatchObject({ holder: { agent_id: 'agent:a' } })
    }
    expect(fs.existsSync(path.join(repo.dir, 'ran'))).toBe(false)
    expect(events(repo.dir)).toEqual([])
  })
})

describe('running gates', () => {
  it('records each result with commit and token, in the events alone', async () => {
    const repo = ticketWith({ good: 'echo fine', bad: 'echo out; echo err >&2; exit 7', review: null })
    const head = git(repo.dir, 'rev-parse', 'HEAD')
    const a = repo.as('agent:a')
    const { lease_id, token } = await a.acquire(id)
    const document = await failedRun(a)
    expect(Object.keys(document)).toEqual(['ok', 'error', 'ticket', 'results', 'count', 'waiting'])
    expect(document).toMatchObject({ ticket: id, count: 2, waiting: ['review'], error: { message: '1 of 2 gates failed: bad' } })
    const both = { commit: head, dirty: false, token, lease_id, actor: 'agent:a', stage: 'post', signal: null, timed_out: false }
    expect(document.results).toEqual([
      expect.objectContaining({ ...both, gate: 'good', result: 'passed', exit_code: 0, output: null }),
      expect.objectContaining({ ...both, gate: 'bad', result: 'failed', exit_code: 7, output: 'out\nerr\n' }),
    ])
    expect(document.results.map(({ log_file }: Doc) => fs.readFileSync(log_file, 'utf8'))).toEqual(['fine\n', 'out\nerr\n'])
    expect(events(repo.dir).map(({ type, gate, result, token }) => [type, gate, result, token])).toEqual([
      ['gate', 'good', 'passed', token],
      ['gate', 'bad', 'failed', token],
    ])
    expect(fs.readFileSync(eventsFile(repo.dir), 'utf8')).not.toContain(repo.dir)
    expect(git(repo.dir, 'status', '--short')).toBe(`?? .leasehold/tickets/${id}/events.jsonl`)
    expect(await statesOf(a)).toEqual({ good: 'passed', bad: 'failed', review: 'missing' })
    // It was the holder's before, and it is after.
    expect((await a.lease(`ticket:${id}`)).token).toBe(token)
    const { results } = await a.ok('gate history fix-login')
    expect(results.map(({ gate }: Doc) => gate)).toEqual(['good', 'bad'])
    expect((await a.ok('gate history fix-login bad')).count).toBe(1)
  })

  it('holds a ticket that nobody has for as long as it takes', async () => {
    const repo = ticketWith({ one: `${lh} claim list --json >one`, two: `${lh} claim list --json >two` })
    const a = repo.as('agent:a')
    await a.ok('gate run fix-login')
    const [one, two] = ['one', 'two'].map(name => parse(fs.readFileSync(path.join(repo.dir, name), 'utf8')).leases[0])
    expect(one).toMatchObject({ resource: `ticket:${id}`, holder: { agent_id: 'agent:a' } })
    expect(two.token).toBe(one.token)
    expect(repo.story()).toEqual([`acquire ticket:${id}`, `release ticket:${id}`])
    expect(events(repo.dir).map(({ result, token }) => [result, token])).toEqual([
      ['passed', one.token],
      ['passed', one.token],
    ])
  })

  it('tells the command what it is for, and lets it act as the holder', async () => {
    const repo = ticketWith({ tests: `env | grep ^LEASEHOLD_ | sort; pwd; ${lh} claim check ${id} >&2 && cat` })
    const a = repo.as('agent:a')
    fs.mkdirSync(path.join(repo.dir, 'sub'))
    const { results } = await a.in(path.join(repo.dir, 'sub')).ok('gate run fix-login')
    const [{ lease_id, token, log_file }] = results
    const said = fs.readFileSync(log_file, 'utf8').split('\n')
    expect(said).toEqual(
      expect.arrayContaining([
        'LEASEHOLD_GATE=tests',
        `LEASEHOLD_LEASE=${lease_id}`,
        `LEASEHOLD_RESOURCES=ticket:${id}`,
        `LEASEHOLD_TICKET=${id}`,
        `LEASEHOLD_TOKEN=${token}`,
        repo.dir,
      ]),
    )
    expect(said.at(-2)).toMatch(/^token \d+ is the current one/)
  })

  it('leaves nothing of a lease for the moment that the command renewed', async () => {
    const repo = ticketWith({ tests: `${lh} claim renew ${id}` })
    const a = repo.as('agent:a')
    await a.ok('gate run fix-login')
    await a.ok('gate run fix-login')
    await a.ok('ticket edit fix-login --title Other')
    expect(await a.ok('claim list')).toMatchObject({ leases: [] })
  })

  it('uses what the file says of directory and environment', async () => {
    const repo = ticketWith({ tests: 'true' })
    fs.mkdirSync(path.join(repo.dir, 'web'))
    const file = path.join(repo.dir, '.leasehold', 'gates', 'tests.yaml')
    fs.writeFileSync(file, 'command: test "$A" = 010 && test "$(basename "$PWD")" = web\nworking_dir: web\nenv: { A: 010 }\n')
    const a = repo.as('agent:a')
    await a.ok('gate run fix-login')
    fs.rmdirSync(path.join(repo.dir, 'web'))
    expect((await a.refused('usage', 'gate run fix-login')).message).toContain('there is no such directory')
  })

  it('runs what it was asked for', async () => {
    const repo = ticketWith({ early: 'true', late: 'true', review: null })
    fs.appendFileSync(path.join(repo.dir, '.leasehold', 'gates', 'early.yaml'), 'stage: pre\n')
    const a = repo.as('agent:a')
    const ran = async (words: string): Promise<Doc> => (await a.ok(`gate run fix-login ${words}`)).results.map(({ gate }: Doc) => gate)
    expect(await ran('')).toEqual(['early', 'late'])
    expect(await ran('--stage pre')).toEqual(['early'])
    expect(await ran('--stage post')).toEqual(['late'])
    expect(await ran('late late')).toEqual(['late'])
    expect((await a.refused('usage', 'gate run fix-login early --stage post')).message).toContain('early is a pre gate')
    expect((await a.refused('policy', 'gate run fix-login review')).hint).toBe(`lh gate pass ${id} review`)
  })

  it('shows a failure to people, without what could play with their terminal', async () => {
    const repo = ticketWith({
      bad: 'printf "\\033[31mred\\033[0m\\033]0;title\\007 10%%\\r100%%\\n\\342\\200\\256x\\n"; exit 1',
      good: 'true',
    })
    const { code, stdout, stderr } = await repo.as('agent:a').run('gate run fix-login')
    expect(code).toBe(8)
    expect(stdout).toMatch(
      /^bad:\n {2}100%\n {2}\\u\{202e\}x\n {2}\/.*bad\.log\nfailed {2}bad {3}exit code 1, \d+ms\npassed {2}good {2}\d+ms\n$/,
    )
    expect(stderr).toMatch(
      /^bad: running .*\nbad: failed, exit code 1, .*\ngood: running true \(at most 5m\)\ngood: passed, .*\nlh: 1 of 2 gates failed: bad\n {4}mend it, then: lh gate run \S+ bad\n$/,
    )
    expect(await repo.as('agent:a').run('--quiet gate run fix-login good')).toEqual({ code: 0, signal: null, stdout: '', stderr: '' })
  })

  it('keeps the end of a long output, and less of it in the event', async () => {
    const repo = ticketWith({ bad: 'seq 1 50000; exit 1' })
    const { results } = await failedRun(repo.as('agent:a'))
    expect(Buffer.byteLength(results[0].output)).toBeLessThanOrEqual(4096)
    expect(results[0].output).toMatch(/^\d+\n[^]*\n49999\n50000\n$/)
    const log = fs.readFileSync(results[0].log_file, 'utf8')
    expect(log.startsWith('[')).toBe(true)
    expect(log.length).toBeGreaterThan(65_000)
    expect(log.endsWith('50000\n')).toBe(true)
  })

  needsScript.it('shows on a terminal what runs', async () => {
    const repo = ticketWith({ slow: 'echo first; sleep 1; echo second; sleep 1' })
    const a = repo.as('agent:a', { TERM: 'xterm' })
    const { stdout } = await a.startWith(['setsid', 'sh', '-c', 'script -qec "$*" /dev/null', 'sh'], 'gate run fix-login').ended
    expect(stdout).toMatch(/slow {2}0 s {2}first\u001b\[K/)
    expect(stdout).toMatch(/slow {2}1 s {2}second\u001b\[K/)
    expect(stdout).toMatch(/\r\u001b\[K[^]*passed/)
    expect(stdout).not.toContain('running')
  })
})

describe('what a pass is worth', () => {
  it('ends when the code is another', async () => {
    const repo = ticketWith({ tests: 'true' })
    const a = repo.as('agent:a')
    await a.ok('gate run fix-login')
    commit(repo.dir, 'the events themselves')
    expect(await statesOf(a)).toEqual({ tests: 'passed' })
    fs.writeFileSync(path.join(repo.dir, 'code'), '2')
    expect(await statesOf(a)).toEqual({ tests: 'passed' })
    commit(repo.dir, 'second')
    expect(await statesOf(a)).toEqual({ tests: 'stale' })
    expect((await a.run('gate list fix-login')).stdout).toContain(`passed for other code, or by another command: lh gate run ${id} tests`)
    fs.writeFileSync(path.join(repo.dir, 'new'), '')
    expect((await a.ok('gate run fix-login')).results[0]).toMatchObject({ dirty: true, commit: git(repo.dir, 'rev-parse', 'HEAD') })
    expect(await statesOf(a)).toEqual({ tests: 'passed' })
    await a.ok('gate define tests --command', 'make')
    expect(await statesOf(a)).toEqual({ tests: 'stale' })
  })

  it('ends with another commit of a submodule, also of one that Git is told to ignore', async () => {
    const repo = ticketWith({ tests: 'true' })
    const a = repo.as('agent:a')
    const pointTo = (id: string): void => {
      git(repo.dir, 'update-index', '--add', '--cacheinfo', `160000,${id},sub`)
      git(repo.dir, '-c', 'user.name=t', '-c', 'user.email=t@t', 'commit', '-q', '-m', 'another')
    }
    fs.writeFileSync(path.join(repo.dir, '.gitmodules'), '[submodule "sub"]\n\tpath = sub\n\turl = ../sub\n\tignore = all\n')
    commit(repo.dir, 'modules')
    pointTo('1'.repeat(40))
    fs.mkdirSync(path.join(repo.dir, 'sub'))
    await a.ok('gate run fix-login')
    expect(await statesOf(a)).toEqual({ tests: 'passed' })
    pointTo('2'.repeat(40))
    expect(await statesOf(a)).toEqual({ tests: 'stale' })
  })

  it('ends when it becomes a person’s to decide, and a person’s word when it gets a command', async () => {
    const repo = ticketWith({ tests: 'true', review: null })
    const a = repo.as('agent:a')
    await a.ok('gate run fix-login')
    await a.ok('gate pass fix-login review')
    expect(await statesOf(a)).toEqual({ tests: 'passed', review: 'passed' })
    await a.ok('gate define tests --manual')
    await a.ok('gate define review --command true')
    expect(await statesOf(a)).toEqual({ tests: 'stale', review: 'stale' })
    await a.ok('ticket start fix-login')
    expect((await a.refused('policy', 'ticket done fix-login')).hint).toMatch(/lh gate pass .* tests; lh gate run .* review/)
    await a.ok('gate pass fix-login tests')
    await a.ok('gate run fix-login review')
    await a.ok('ticket done fix-login')
  })

  it('is a person’s word for a manual gate, whatever the code becomes', async () => {
    const repo = ticketWith({ review: null, second: null })
    const a = repo.as('human:alice')
    expect((await a.refused('usage', 'gate fail fix-login review')).message).toContain('needs a message')
    const failed = await a.ok('gate fail fix-login review --message', 'not like this')
    expect(failed).toMatchObject({
      ticket: id,
      gate: { key: 'review' },
      result: { result: 'failed', message: 'not like this', actor: 'human:alice', override: false },
    })
    expect(await statesOf(a)).toEqual({ review: 'failed', second: 'missing' })
    expect(await a.ok('gate pass fix-login review second')).toMatchObject({ count: 2, results: [{ result: 'passed' }, { gate: 'second' }] })
    fs.writeFileSync(path.join(repo.dir, 'code'), '2')
    commit(repo.dir, 'second')
    expect(await statesOf(a)).toEqual({ review: 'passed', second: 'passed' })
    expect((await a.ok('claim list')).count).toBe(0)
  })

  it('cannot be said of an automatic gate, but with a reason', async () => {
    const repo = ticketWith({ tests: 'false' })
    const a = repo.as('human:alice')
    const error = await a.refused('policy', 'gate pass fix-login tests --message fine')
    expect(error).toMatchObject({
      message: expect.stringContaining('its command decides'),
      hint: expect.stringContaining(`lh gate run ${id} tests`),
    })
    expect(events(repo.dir)).toEqual([])
    const { result } = await a.ok('gate pass fix-login tests --reason', 'the runner is down')
    expect(result).toMatchObject({ result: 'passed', override: true, reason: 'the runner is down', exit_code: null })
    expect((await a.run('gate history fix-login')).stdout).toContain('by hand: the runner is down')
  })
})

describe('a gate that is ended', () => {
  it('at its time limit leaves nobody, also of those who do not listen', async () => {
    const repo = ticketWith({ hangs: `sh -c 'trap "" TERM; sleep 600 & echo $! $$; wait'` })
    fs.appendFileSync(path.join(repo.dir, '.leasehold', 'gates', 'hangs.yaml'), 'timeout: 1s\n')
    const a = repo.as('agent:a')
    const { results } = await failedRun(a)
    expect(results[0]).toMatchObject({ result: 'failed', timed_out: true })
    const pids = numbers(results[0].output)
    expect(pids).toHaveLength(2)
    expect(pids.filter(isRunning)).toEqual([])
    expect((await a.run('gate history fix-login')).stdout).toContain('ended at its time limit')
  })

  it('with lh has no result, and the ticket is free again', async () => {
    for (const name of ['SIGINT', 'SIGQUIT', 'SIGTERM'] as const) {
      const repo = ticketWith({ good: 'true', slow: 'sleep 600 & echo $! $$ >pids; wait' })
      const a = repo.as('agent:a')
      const run = a.start('gate run fix-login')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const pids = await pidsOf(repo.dir)
      run.kill(name)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await run.ended).signal).toBe(name)
      expect(pids.filter(isRunning)).toEqual([])
      expect(events(repo.dir).map(({ gate }) => gate)).toEqual(['good'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('claim list')).count).toBe(0)
    }
  })
})

describe('a lease that is lost', () => {
  it('while the gate runs ends the gate, and nothing is recorded', async () => {
    const repo = ticketWith({ slow: 'sleep 600 & echo $! $$ >pids; wait' })
    const a = repo.as('agent:a')
    // So long that the log has to say it: the next renewal is a minute away.
    await a.acquire(`${id} --ttl 30m`)
    const run = a.start('--json gate run fix-login')
    const pids = await pidsOf(repo.dir)
    await repo.as('human:boss').ok(`claim evict ${id} --reason`, 'I need it')
    await repo.as('agent:b').acquire(id)
    const { code, stdout } = await run.ended
    expect(code).toBe(exits.superseded)
    expect(parse(stdout)).toMatchObject({
      ok: false,
      error: { code: 'superseded', exit: 6, message: expect.stringContaining('no result was recorded') },
    })
    expect(pids.filter(isRunning)).toEqual([])
    expect(events(repo.dir)).toEqual([])
  })

  it('just before the end cannot pass it either', async () => {
    const take = `LEASEHOLD_LEASE= LEASEHOLD_TOKEN= LEASEHOLD_AGENT_ID=human:boss ${lh} claim evict ${id} --reason mine`
    for (const then of ['true', `env -u LEASEHOLD_LEASE -u LEASEHOLD_TOKEN LEASEHOLD_AGENT_ID=human:boss ${lh} claim acquire ${id}`]) {
      const repo = ticketWith({ tests: `${take} && ${then}` })
      const a = repo.as('agent:a')
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      for (const own of [true, false]) {
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        if (own) await a.acquire(id)
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        const { code, stdout } = await a.run('--json gate run fix-login')
        expect({ code, stdout }).toMatchObject({ code: exits.superseded })
        expect(events(repo.dir)).toEqual([])
        if (then !== 'true') break
      }
    }
  })

  it('does not happen to a gate that takes longer than the TTL', async () => {
    const repo = ticketWith({ slow: 'sleep 5' })
    const a = repo.as('agent:a')
    const { token } = await a.acquire(`${id} --ttl 2s`)
    await sleep(1200)
    const run = a.start('--json gate run fix-login')
    await sleep(3000)
    await repo.as('agent:b').run(`claim acquire ${id}`)
    expect(success(await run.ended).results[0]).toMatchObject({ result: 'passed', token })
    expect(repo.records().filter(({ op }) => op === 'acquire')).toHaveLength(1)
  })
})

describe('worktrees', () => {
  it('see the gates and tickets of the main one, and write into their own', async () => {
    const repo = ticketWith({ tests: 'pwd' })
    const main = repo.as('agent:a')
    await main.ok('gate define later --command true')
    await main.ok('gate add fix-login later')
    const linked = path.join(folder(), 'linked')
    git(repo.dir, 'worktree', 'add', '-q', '-b', 'work', linked)
    const b = repo.as('agent:b').in(linked)
    expect((await b.ok('gate list')).gates.map(({ key, source }: Doc) => [key, source])).toEqual([
      ['later', 'main'],
      ['tests', 'here'],
    ])
    const { results } = await b.ok('gate run fix-login tests')
    expect(fs.readFileSync(results[0].log_file, 'utf8')).toBe(`${linked}\n`)
    expect(results[0].log_file).toContain(path.join('.git', 'worktrees', 'linked', 'leasehold', 'gates'))
    expect(events(linked).filter(({ type }) => type === 'gate')).toHaveLength(1)
    expect(events(repo.dir).filter(({ type }) => type === 'gate')).toHaveLength(0)
  })

  it('that each ran gates merge without a conflict', async () => {
    const repo = ticketWith({ tests: 'true' })
    const a = repo.as('agent:a')
    fs.writeFileSync(path.join(repo.dir, '.gitattributes'), '.leasehold/tickets/*/events.jsonl merge=union\n')
    await a.ok('gate run fix-login')
    commit(repo.dir, 'base')
    for (const name of ['one', 'two']) {
      const linked = path.join(folder(), name)
      git(repo.dir, 'worktree', 'add', '-q', '-b', name, linked)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await repo.as(`agent:${name}`).in(linked).ok('gate run fix-login')
      commit(linked, name)
    }
    git(repo.dir, 'merge', '-q', 'one')
    git(repo.dir, '-c', 'user.name=t', '-c', 'user.email=t@t', 'merge', '-q', '-m', 'merge', 'two')
    expect((await a.ok('gate history fix-login')).results.map(({ actor }: Doc) => actor)).toEqual(['agent:a', 'agent:one', 'agent:two'])
    expect(await statesOf(a)).toEqual({ tests: 'passed' })
  })
})

describe('JSON', () => {
  it('is what the published schemas say', async () => {
    const repo = ticketWith({ good: 'true', bad: 'kill -9 $$', review: null, gone: 'true' })
    fs.rmSync(path.join(repo.dir, '.leasehold', 'gates', 'gone.yaml'))
    fs.writeFileSync(
      path.join(repo.dir, '.leasehold', 'gates', 'rich.yaml'),
      'title: T\ndescription: D\nmode: auto\ncommand: "true"\nenv: { A: b }\nworking_dir: web\npass_context: false\nlegacy: { priority: 1 }\n',
    )
    const a = repo.as('agent:a')
    const check = async (schema: string, ...words: readonly [string, ...string[]]): Promise<void> => {
      const { stdout } = await a.run(`--json ${words[0]}`, ...words.slice(1))
      const validate = new Ajv2020({ strict: false }).compile((await a.ok(`schema ${schema}`)).schema)
      expect(validate(parse(stdout)), `${words.join(' ')}: ${JSON.stringify(validate.errors)}\n${stdout}`).toBe(true)
    }
    await check('gate-define', 'gate define more --command true')
    await check('gate-define', 'gate define more --manual')
    await check('gate-list', 'gate list')
    await check('gate-add', 'gate add fix-login more')
    await check('gate-add', 'gate add fix-login more review')
    await check('gate-run', 'gate run fix-login good')
    await check('gate-run', 'gate run fix-login good bad')
    await check('gate-decide', 'gate pass fix-login review')
    await check('gate-decide', 'gate fail fix-login review more --message no')
    await check('gate-decide', 'gate pass fix-login bad --reason so')
    await check('gate-list', 'gate list fix-login')
    await check('gate-history', 'gate history fix-login')
    // What an import kept of another tool's gates, as far as it goes.
    fs.appendFileSync(
      eventsFile(repo.dir),
      `{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","type":"gate","at":"2026-01-01T00:00:00Z","actor":"agent:old","gate":"good","result":"passed","legacy":{}}\n`,
    )
    await check('gate-history', 'gate history fix-login')
  })
})
