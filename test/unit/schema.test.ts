import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { everyCommand } from '../../src/door/cli/table.ts'
import { catalogue } from '../../src/service/schema/catalogue.ts'
import { until } from '../support/cli.ts'
import { anAgent, depart, finish, kill, launch, letGo, openWorkspace, reserve } from '../support/launches.ts'

// What the executable really prints, against the schemas that are published for it. They list every member of every object, so a field
// that is not documented is a failure here.

const root = path.join(import.meta.dirname, '../..')
const executable = path.join(root, 'dist/bin/lh.cjs')

/** The schema of each command's answer; null where the output is no JSON. */
const schemaOf: Readonly<Record<string, string | null>> = {
  init: 'init',
  whoami: 'whoami',
  completion: 'completion',
  status: 'status',
  why: 'why',
  'claim acquire': 'acquire',
  'claim renew': 'renew',
  'claim heartbeat': 'heartbeat',
  'claim release': 'release',
  'claim transfer': 'transfer',
  'claim evict': 'evict',
  'claim allow': 'allow',
  'claim status': 'claim-status',
  'claim list': 'list',
  'claim check': 'check',
  'claim history': 'history',
  exec: 'exec',
  'ticket create': 'ticket',
  'ticket list': 'ticket-list',
  'ticket show': 'ticket-show',
  'ticket edit': 'ticket',
  'ticket set': 'ticket',
  'ticket comment': 'ticket',
  'ticket review': 'ticket',
  'ticket depend': 'ticket',
  'ticket ready': 'ticket',
  'ticket queue': 'ticket',
  'ticket start': 'ticket-start',
  'ticket done': 'ticket',
  'ticket close': 'ticket',
  'ticket reopen': 'ticket',
  'ticket next': 'ticket-next',
  'ticket doctor': 'ticket-doctor',
  'ticket import': 'ticket-import',
  launch: 'launch',
  'session resume': 'launch',
  'session reclaim': 'session-end',
  'session end': 'session-end',
  'session list': 'session-list',
  'session show': 'session-show',
  'worktree add': 'worktree-add',
  'worktree list': 'worktree-list',
  'worktree info': 'worktree-info',
  'worktree init': 'worktree-init',
  'worktree remove': 'worktree-remove',
  'worktree prune': 'worktree-prune',
  work: 'work',
  'gate define': 'gate-define',
  'gate list': 'gate-list',
  'gate add': 'gate-add',
  'gate run': 'gate-run',
  'gate pass': 'gate-decide',
  'gate fail': 'gate-decide',
  'gate history': 'gate-history',
  'hooks install': 'hooks',
  'hooks uninstall': 'hooks',
  'hooks status': 'hooks-status',
  'hooks test': 'hooks-test',
  'session-lock status': 'session-lock-status',
  'session-lock release': 'session-lock-release',
  hook: null,
  doctor: 'doctor',
  recover: 'recover',
  verify: 'verify',
  'log compact': 'compact',
  'log export': 'operation',
  'store move': 'store-move',
  'config list': 'config-list',
  'config get': 'config-get',
  'config set': 'config-set',
  'config explain': 'config-explain',
  schema: 'schema',
  demo: 'demo',
  selftest: 'selftest',
}

const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true, schemas: catalogue.map(({ schema }) => schema) })

/** Why a document does not fit a schema, or null. */
function misfit(name: string, document: unknown): string | null {
  const validate = ajv.getSchema(`urn:leasehold:schema:1:${name}`)
  if (validate === undefined) return `there is no schema ${name}`
  return validate(document) === true ? null : `${ajv.errorsText(validate.errors)}\n${JSON.stringify(document, null, 2)}`
}

interface Answer {
  readonly status: number | null
  readonly document: Record<string, unknown>
}

const seen = new Map<string, unknown[]>()
let repository: string
let folder: string

/** The answer to a command line, fitted to its schema, or to `error` when it failed. */
function lh(args: readonly string[], env: Record<string, string> = {}): Answer {
  const at = args.includes('--') ? args.indexOf('--') : args.length
  const run = spawnSync(process.execPath, [executable, ...args.slice(0, at), '--json', ...args.slice(at)], {
    cwd: repository,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 30_000,
  })
  return { status: run.status, document: fitted(args, run.stdout) }
}

function fitted(args: readonly string[], stdout: string): Record<string, unknown> {
  const document = JSON.parse(stdout) as Record<string, unknown>
  const words = args.slice(0, 2).join(' ')
  const isHelp = args[0] === 'help' || args.includes('--help')
  const name = args[0] === '--version' ? 'version' : isHelp ? 'help' : (schemaOf[words] ?? schemaOf[args[0]!])
  if (typeof name !== 'string') throw new Error(`no schema is known for lh ${args.join(' ')}`)
  // A command that reports what it found says so also when that is an error; its own schema covers both.
  const own = misfit(name, document)
  const fits = document['ok'] === false && own !== null ? 'error' : name
  expect(fits === name ? own : misfit('error', document), `lh ${args.join(' ')}`).toBeNull()
  seen.set(fits, [...(seen.get(fits) ?? []), document])
  return document
}

const author = {
  GIT_AUTHOR_NAME: 'one',
  GIT_AUTHOR_EMAIL: 'one@example.org',
  GIT_COMMITTER_NAME: 'one',
  GIT_COMMITTER_EMAIL: 'one@example.org',
}

const as = (agent: string): Record<string, string> => ({ LEASEHOLD_AGENT_ID: agent })

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'leasehold-schema-'))
  repository = path.join(folder, 'repository')
  fs.mkdirSync(repository)
  for (const args of [
    ['init', '-q'],
    ['commit', '-q', '--allow-empty', '-m', 'first'],
  ])
    expect(spawnSync('git', args, { cwd: repository }).status).toBe(0)
})

afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

describe('what --json prints is what its schema says', () => {
  it('names a schema for every command of the table', async () => {
    expect(Object.keys(schemaOf).toSorted()).toEqual((await everyCommand()).map(({ path }) => path).toSorted())
    for (const name of Object.values(schemaOf)) if (name !== null) expect(catalogue.map(each => each.name)).toContain(name)
  })

  it('preparing and looking', () => {
    lh(['init'])
    lh(['init'])
    lh(['whoami'])
    lh(['whoami'], { ...as('agent:one'), LEASEHOLD_SESSION_ID: 's1', LEASEHOLD_PID: String(process.pid) })
    lh(['status'])
    lh(['why', 'nothing'])
    lh(['--version'])
    lh(['completion', 'bash'])
    lh(['help'])
    lh(['claim', 'renew', '--help'])
  })

  it('one lease from its beginning to its end', () => {
    const one = { ...as('agent:one'), LEASEHOLD_SESSION_ID: 's1', LEASEHOLD_PID: String(process.pid) }
    expect(lh(['claim', 'acquire', 'fix', '--ttl', '10m', '--reason', 'r', '--branch', 'b', '--op-id', 'first'], one).status).toBe(0)
    expect(lh(['claim', 'acquire', 'fix', '--op-id', 'first'], one).document['replay']).toBe(true)
    expect(lh(['claim', 'acquire', 'fix'], one).document['already_held']).toBe(true)
    lh(['claim', 'renew', 'fix', '--note', 'still at it'], one)
    lh(['claim', 'renew', 'fix', '--op-id', 'second'], one)
    lh(['claim', 'renew', 'fix', '--op-id', 'second'], one)
    lh(['claim', 'heartbeat', 'fix'], one)
    lh(['claim', 'check', 'fix', '--token', '1'], one)
    lh(['claim', 'status'], one)
    lh(['claim', 'status', '--resource', 'fix'], one)
    lh(['why', 'fix'], one)
    lh(['status'], one)
    lh(['claim', 'transfer', 'fix', '--to-agent', 'agent:two', '--reason', 'over to you'], one)
    expect(lh(['claim', 'check', 'fix', '--token', '1'], one).status).toBe(6)
    lh(['claim', 'allow', 'fix', '--token', '1', '--reason', 'looked at by hand', '--op-id', 'allowed'], as('human:one'))
    lh(['claim', 'allow', 'fix', '--token', '1', '--reason', 'looked at by hand', '--op-id', 'allowed'], as('human:one'))
    lh(['claim', 'release', 'fix', '--op-id', 'third'], as('agent:two'))
    lh(['claim', 'release', 'fix', '--op-id', 'third'], as('agent:two'))
    expect(lh(['claim', 'release', 'fix'], as('agent:two')).document['already_released']).toBe(true)
    lh(['claim', 'list', '--all'])
    lh(['claim', 'list', '--sweep'])
    lh(['claim', 'history'])
    lh(['claim', 'history', 'fix', '--since', '1h'])
  })

  it('several at once, indefinite, evicted, late', async () => {
    lh(['claim', 'acquire', 'a', 'b', 'path:src/**'], as('agent:one'))
    lh(['claim', 'renew', 'a'], as('agent:one'))
    lh(['claim', 'release', 'a', '--only'], as('agent:one'))
    lh(['claim', 'release', 'b'], as('agent:one'))
    lh(['claim', 'acquire', 'long', '--ttl', '0', '--reason', 'a week of work'], as('agent:one'))
    lh(['claim', 'evict', 'long', '--reason', 'enough'], as('human:ada'))
    lh(['claim', 'acquire', 'short', '--ttl', '1'], as('agent:one'))
    await expired('short')
    lh(['why', 'short'])
    expect(lh(['claim', 'check', 'short', '--token', String(tokenOf('short'))]).document['ok']).toBe(false)
    expect(lh(['claim', 'renew', 'short', '--ttl', '10m'], as('agent:one')).document['late']).toBe(true)
  })

  it('heartbeats that go on, and their end', async () => {
    const watched = spawn(process.execPath, ['-e', 'process.stdin.resume()'], { stdio: ['pipe', 'ignore', 'ignore'] })
    const args = ['claim', 'heartbeat', 'short', '--every', '100ms', '--while-pid', String(watched.pid)]
    const beating = spawn(process.execPath, [executable, ...args, '--json'], {
      cwd: repository,
      env: { ...process.env, ...as('agent:one') },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let stdout = ''
    beating.stdout.on('data', chunk => (stdout += String(chunk)))
    watched.stdin.end()
    await new Promise(resolve => beating.on('close', resolve))
    fitted(args, stdout)
  })

  it('a session’s lock', () => {
    const payload = { session_id: 's1', cwd: repository, tool_name: 'Write', tool_input: { file_path: `${repository}/x` } }
    lh(['session-lock', 'status'])
    const hook = path.join(path.dirname(executable), 'hook.cjs')
    expect(spawnSync(process.execPath, [hook, 'before-tool'], { input: JSON.stringify(payload), cwd: repository }).status).toBe(0)
    expect(lh(['session-lock', 'status']).document['standing']).toBe('live')
    lh(['why', 'workspace:.'])
    lh(['status'])
    expect(lh(['session-lock', 'release'], as('human:one')).status).toBe(2)
    expect(lh(['session-lock', 'release', '--force', '--reason', 'it is gone'], as('human:one')).document['recorded']).toBe('log')
  })

  it('launched agents, and what watches them', async () => {
    const workspace = await openWorkspace(repository)
    const watching = spawn(process.execPath, [executable, 'status', '--watch', '--json'], {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const lines: string[] = []
    createInterface(watching.stdout).on('line', line => lines.push(line))
    const change = (words: string): Promise<unknown> =>
      until(() => lines.some(line => words.split(' ').every(word => line.includes(`"${word}"`))), `lh status --watch says ${words}`)
    lh(['claim', 'acquire', 'env:watched'], as('agent:one'))
    await until(() => lines.length > 0, 'lh status --watch says what there is')
    const { hold } = await reserve(workspace, { ticket: 'in-flight' })
    lh(['status'])
    lh(['claim', 'list'])
    lh(['claim', 'status', '--resource', 'in-flight'])
    expect(lh(['why', 'in-flight']).document['standing']).toBe('pending')
    expect(lh(['claim', 'acquire', 'in-flight'], as('agent:one')).status).toBe(3)
    await change('appears pending ticket:in-flight')
    letGo(hold)
    await change('goes pending ticket:in-flight')
    const agent = anAgent()
    const launched = await launch(workspace, { ticket: 'launched', agent, resume: { command: ['client', '--resume'], stored: repository } })
    lh(['status'])
    lh(['session', 'list'])
    expect(lh(['session', 'show', 'launched']).document['ok']).toBe(true)
    expect(lh(['why', 'launched']).document['session']).toBeDefined()
    expect(lh(['claim', 'acquire', 'launched'], as('agent:one')).status).toBe(3)
    await change('appears session dev-launched live')
    lh(['log', 'compact'])
    await kill(agent)
    letGo(launched.hold)
    await change('becomes session dev-launched restorable')
    await depart(workspace, launched.session, 0)
    lh(['session', 'list'])
    lh(['claim', 'history'])
    await finish(workspace, launched.session)
    await change('goes session dev-launched')
    expect(lh(['session', 'show', 'dev-launched']).document['ok']).toBe(true)
    expect(lh(['session', 'show', 'nobody-s']).status).toBe(4)
    watching.kill()
    for (const line of lines) expect(misfit('status-change', JSON.parse(line)), line).toBeNull()
    seen.set(
      'status-change',
      lines.map(line => JSON.parse(line) as unknown),
    )
  })

  it('a launch, one that fails, and the end of a session', async () => {
    const agent = (then: string): readonly string[] => ['--', 'sh', '-c', `echo >&"$LEASEHOLD_READY_FD"; ${then}`]
    const ready = ['--ready', 'fd']
    expect(lh(['launch', '--no-ticket', '--role', 'intake', ...ready, ...agent('exit 3')], as('human:one')).status).toBe(3)
    expect(lh(['launch', '--no-ticket', '--role', 'dev', ...ready, '--', 'sh', '-c', 'exit 1'], as('human:one')).status).toBe(10)
    const running = spawn(
      process.execPath,
      [executable, '--json', 'launch', '--no-ticket', '--role', 'review', ...ready, ...agent('sleep 60')],
      {
        cwd: repository,
        env: { ...process.env, ...as('human:one') },
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
    let document = ''
    running.stdout.on('data', chunk => (document += String(chunk)))
    await until(() => document.includes('\n'), 'the agent is ready')
    fitted(['launch'], document)
    expect(lh(['session', 'resume', 'review'], as('human:one')).status).toBe(3)
    expect(lh(['session', 'reclaim', 'review', '--reason', 'r'], as('human:one')).status).toBe(3)
    expect(lh(['session', 'end', 'review'], as('human:one')).document['ok']).toBe(true)
  })

  it('exec', () => {
    const node = (code: string): readonly string[] => ['--', process.execPath, '-e', code]
    expect(lh(['exec', 'port:1', ...node('process.exit(3)')], as('agent:one')).status).toBe(3)
    lh(['exec', 'port:1', 'port:2', ...node('')], as('agent:one'))
    lh(['exec', 'port:1', '--', './no-such-program'], as('agent:one'))
    const evictMyself = `require('node:child_process').execFileSync(process.execPath, [${JSON.stringify(executable)}, 'claim', 'evict', 'port:3', '--reason', 'x']); setTimeout(() => {}, 60000)`
    expect(lh(['exec', 'port:3', '--ttl', '1', ...node(evictMyself)], as('agent:one')).status).toBe(6)
  })

  it('refusals and mistakes', () => {
    lh(['claim', 'acquire', 'mine'], as('agent:one'))
    lh(['claim', 'acquire', 'path:src'], as('agent:two'))
    const refused: readonly (readonly [number, readonly string[], string?])[] = [
      [3, ['claim', 'acquire', 'mine'], 'agent:two'],
      [9, ['claim', 'acquire', 'mine', '--wait=100ms'], 'agent:two'],
      [5, ['claim', 'renew', 'mine'], 'agent:two'],
      [4, ['claim', 'renew', 'nobodys'], 'agent:two'],
      [4, ['claim', 'release', '01ARZ3NDEKTSV4RRFFQ69G5FAV'], 'agent:two'],
      [6, ['claim', 'release', 'mine', '--token', '1'], 'agent:one'],
      [8, ['claim', 'acquire', 'x', '--ttl', '0'], 'agent:two'],
      [2, ['claim', 'acquire', 'x', '--ttl', '40d'], 'agent:two'],
      [2, ['claim', 'acquire', '../x'], 'agent:two'],
      [2, ['claim', 'transfer', 'mine', '--to-agent', 'agent:one', '--reason', 'r'], 'agent:one'],
      [2, ['claim', 'renew', 'mine', '--op-id', 'first'], 'agent:one'],
      [2, ['claim', 'list', '--no-such-option']],
      [2, ['config', 'get', 'tll']],
      [2, ['schema', 'leese']],
    ]
    for (const [status, args, agent] of refused)
      expect({
        args,
        status: lh([...args], agent === undefined ? {} : as(agent)).status,
      }).toEqual({ args, status })
    const elsewhere = fs.mkdtempSync(path.join(folder, 'elsewhere-'))
    spawnSync('git', ['init', '--quiet', elsewhere])
    const away = lh(['claim', 'list', '--repo', elsewhere], { ...as('agent:one'), LEASEHOLD_STORE: 'etcd://127.0.0.1:1/away' })
    expect(away).toMatchObject({ status: 7, document: { error: { details: { endpoints: [{ error: 'ECONNREFUSED' }] } } } })
    // Whoever asks who they are is told, also where nobody can be named.
    expect(lh(['whoami'], { GEMINI_CLI: '1' })).toMatchObject({ status: 0, document: { agent_id: null } })
  })

  it('refusals that name files, and who holds what', () => {
    const place = fs.mkdtempSync(path.join(folder, 'named-'))
    const git = (...args: readonly string[]): void => {
      const run = spawnSync('git', args, { cwd: place, env: { ...process.env, ...author }, encoding: 'utf8' })
      expect(run.status, run.stderr).toBe(0)
    }
    const refused = (args: readonly string[], env: Record<string, string>): Record<string, unknown> => {
      const { document } = lh([...args, '--repo', place], env)
      expect(document, args.join(' ')).toHaveProperty('error.details')
      return (document['error'] as Record<string, unknown>)['details'] as Record<string, unknown>
    }
    git('init', '-q', '-b', 'main')
    git('commit', '-q', '--allow-empty', '-m', 'first')
    lh(['claim', 'acquire', 'early', '--repo', place], as('agent:one'))
    for (const title of ['early', 'here', 'done']) lh(['ticket', 'create', '--title', title, '--repo', place], as('agent:one'))
    for (const title of ['early', 'here', 'done']) lh(['ticket', 'ready', title, '--repo', place], as('agent:one'))
    git('add', '.leasehold', '.gitattributes')
    git('commit', '-q', '-m', 'Tickets')
    expect(refused(['claim', 'acquire', 'early'], as('agent:two'))).toHaveProperty('lease_id')

    const elsewhere = `file://${path.join(place, 'elsewhere')}`
    expect(refused(['config', 'set', 'store', elsewhere], {})).toMatchObject({ store: 'file:', setting: elsewhere })

    const settings = path.join(place, 'home', '.claude', 'settings.json')
    fs.mkdirSync(path.dirname(settings), { recursive: true })
    fs.writeFileSync(settings, '{')
    expect(refused(['hooks', 'install', 'claude'], { HOME: path.join(place, 'home') })).toMatchObject({ path: settings, line: 1 })

    expect(lh(['work', 'done', '--repo', place], as('agent:one')).status).toBe(0)
    lh(['claim', 'acquire', 'branch:main', '--repo', place], as('agent:two'))
    const finish = lh(['work', '--finish', 'done', '--repo', place], as('agent:one'))
    expect(finish.document).toMatchObject({ error: { code: 'held', holder: { agent_id: 'agent:two' } } })

    const second = path.join(place, 'second')
    git('worktree', 'add', '-q', second)
    lh(['ticket', 'start', 'here', '--repo', second], as('agent:one'))
    const taken = lh(['work', 'here', '--repo', place], as('agent:one'))
    expect(taken.document).toMatchObject({ error: { code: 'held', holder: { agent_id: 'agent:one' } } })

    const bin = path.join(place, 'bin')
    fs.mkdirSync(bin)
    const script = '#!/bin/sh\ncase "$*" in *"worktree add"*) echo "fatal: no" >&2; exit 128;; esac\nPATH=${PATH#*:} exec git "$@"\n'
    fs.writeFileSync(path.join(bin, 'git'), script, { mode: 0o755 })
    const failing = { ...as('agent:one'), PATH: `${bin}:${process.env['PATH']}` }
    expect(refused(['worktree', 'add', 'third'], failing)).toMatchObject({ stderr: 'fatal: no' })

    const note = path.join(place, '.git', 'leasehold', 'moved')
    fs.writeFileSync(note, '{')
    expect(refused(['claim', 'list'], { LEASEHOLD_STORE: elsewhere })).toMatchObject({ damaged_note: note })
  })

  it('configuration', () => {
    lh(['config', 'list'])
    lh(['config', 'set', 'ttl', '20m'])
    lh(['config', 'set', 'ttl', '25m'])
    lh(['config', 'list'])
    lh(['config', 'get', 'ttl'])
    lh(['config', 'get', 'agent.id'])
    lh(['config', 'explain', 'ttl'], { LEASEHOLD_TTL: '5m' })
  })

  it('the schemas themselves', () => {
    const { document } = lh(['schema'])
    expect((document['schemas'] as { name: string }[]).map(({ name }) => name)).toEqual(catalogue.map(({ name }) => name))
    for (const { name, schema } of catalogue) expect(lh(['schema', name]).document['schema']).toEqual(schema)
    const printed = spawnSync(process.execPath, [executable, 'schema', 'lease'], { cwd: folder, encoding: 'utf8' }).stdout
    expect(JSON.parse(printed)).toEqual(catalogue.find(({ name }) => name === 'lease')!.schema)
  })

  it('repairing', () => {
    lh(['verify'])
    lh(['doctor'])
    lh(['doctor', '--fix'])
    lh(['recover'])
    lh(['doctor', '--moved'])
    lh(['log', 'compact'])
    lh(['claim', 'acquire', 'after-compaction'], as('agent:one'))
    lh(['verify'])
    lh(['recover'])
  })

  it('damage, in a copy', () => {
    const original = repository
    repository = path.join(folder, 'copy')
    fs.cpSync(original, repository, { recursive: true })
    expect(lh(['claim', 'acquire', 'x'], as('agent:one')).status).toBe(7)
    lh(['doctor'])
    lh(['doctor', '--copied'])
    for (const name of ['x', 'y', 'z']) lh(['claim', 'acquire', name], as('agent:one'))
    const log = path.join(repository, '.git/leasehold/claims.jsonl')
    const lines = fs.readFileSync(log, 'utf8').split('\n')
    fs.writeFileSync(log, lines.map((line, index) => (index === lines.length - 3 ? line.replace('acquire', 'aqcuire') : line)).join('\n'))
    expect(lh(['claim', 'list']).status).toBe(7)
    expect(lh(['verify']).status).toBe(7)
    expect(lh(['doctor']).status).toBe(2)
    expect(lh(['doctor', '--fix']).status).toBe(2)
    expect(lh(['recover']).status).toBe(7)
    expect(lh(['recover', '--cut']).status).toBe(0)
    fs.rmSync(log)
    expect(lh(['claim', 'acquire', 'x'], as('agent:one')).status).toBe(7)
    expect(lh(['recover']).status).toBe(7)
    expect(lh(['recover', '--cut']).status).toBe(0)
    repository = original
  })

  it('demo and selftest', () => {
    expect(lh(['demo']).status).toBe(0)
    const selftest = (seconds: string) => lh(['selftest', '--seconds', seconds, '--agents', '4'])
    let answer = selftest('4')
    // On a machine that is busy elsewhere next to nothing may have happened.
    if (JSON.stringify(answer.document).includes('too little happened')) answer = selftest('15')
    expect(answer, JSON.stringify(answer.document)).toMatchObject({ status: 0 })
  })

  it('hooks', () => {
    const home = { HOME: path.join(folder, 'home') }
    fs.mkdirSync(home.HOME)
    for (const client of ['git', 'claude']) {
      lh(['hooks', 'status', client], home)
      lh(['hooks', 'install', client, '--dry-run'], home)
      lh(['hooks', 'install', client], home)
      lh(['hooks', 'status', client], home)
      lh(['hooks', 'uninstall', client], home)
    }
    lh(['hooks', 'test', 'git'], home)
    lh(['hooks', 'status'], home)
  })

  it('a ticket from intake to done, and its gates', () => {
    const one = as('agent:one')
    lh(['ticket', 'create', '--title', 'Faster start', '--label', 'a,b', '--priority', 'P1'], one)
    lh(['ticket', 'create', '--title', 'Slower end', '--depends-on', 'faster-start', '--body-file', '/dev/null'], one)
    expect(lh(['ticket', 'list', '--blocked']).document['count']).toBe(1)
    for (const rest of [['--priority', 'P0'], []]) lh(['ticket', 'set', 'faster', 'priority=P3', ...rest], one)
    lh(['ticket', 'edit', 'faster', '--title', 'Much faster start'], one)
    lh(['ticket', 'comment', 'faster', '--message', 'words'], one)
    lh(['ticket', 'review', 'faster', '--message', 'words', '--verdict', 'approve'], one)
    lh(['ticket', 'depend', 'slower', '--on', 'faster', '--remove'], one)
    expect(lh(['ticket', 'start', 'faster'], one).status).toBe(8)
    lh(['ticket', 'ready', 'faster'], one)
    lh(['ticket', 'queue', 'faster'], one)
    lh(['ticket', 'next'])
    lh(['ticket', 'next', '--claim'], one)
    lh(['ticket', 'next', '--claim'], one)
    lh(['ticket', 'start', 'faster'], one)
    lh(['gate', 'define', 'tests', '--command', 'exit 1'], one)
    lh(['gate', 'define', 'read', '--manual', '--stage', 'post', '--title', 'Somebody read it'], one)
    lh(['gate', 'list'])
    lh(['gate', 'add', 'faster', 'tests', 'read'], one)
    expect(lh(['gate', 'run', 'faster'], one).status).toBe(8)
    expect(lh(['ticket', 'done', 'faster'], one).status).toBe(8)
    lh(['gate', 'define', 'tests', '--command', 'exit 0'], one)
    lh(['gate', 'run', 'faster', 'tests'], one)
    lh(['gate', 'fail', 'faster', 'read', '--message', 'not yet'], one)
    lh(['gate', 'pass', 'faster', 'read'], one)
    lh(['gate', 'list', 'faster'])
    lh(['gate', 'history', 'faster'])
    lh(['ticket', 'show', 'faster'])
    lh(['ticket', 'done', 'faster'], one)
    lh(['ticket', 'done', 'faster'], one)
    expect(lh(['claim', 'acquire', 'faster'], one).status).toBe(8)
    lh(['ticket', 'close', 'faster', '--resolution', 'it starts faster'], one)
    lh(['ticket', 'reopen', 'faster', '--reason', 'not fast enough'], one)
    lh(['ticket', 'doctor'])
    fs.writeFileSync(
      path.join(folder, 'issues.json'),
      JSON.stringify([{ number: 7, title: 'From elsewhere', body: 'text', state: 'OPEN' }]),
    )
    lh(['ticket', 'import', '--from', 'github', path.join(folder, 'issues.json')], one)
    expect(lh(['ticket', 'show', '2026']).status).toBe(2)
    lh(['worktree', 'init'])
    lh(['worktree', 'add', 'aside'], one)
    lh(['worktree', 'list'])
    lh(['worktree', 'info', 'aside'])
    lh(['worktree', 'prune'], one)
    fs.writeFileSync(path.join(folder, 'repository-worktrees', 'aside', 'left'), 'not committed')
    expect(lh(['worktree', 'remove', 'aside'], one).status).toBe(8)
    lh(['worktree', 'remove', 'aside', '--salvage'], one)
    lh(['ticket', 'create', '--title', 'A day of work'], one)
    lh(['ticket', 'ready', 'a-day-of-work'], one)
    for (const args of [
      ['add', '--all'],
      ['-c', 'user.name=one', '-c', 'user.email=one@example.org', 'commit', '-q', '-m', 'tickets'],
    ])
      expect(spawnSync('git', args, { cwd: repository }).status).toBe(0)
    lh(['work', 'a-day-of-work'], one)
    lh(['work', 'a-day-of-work', '--', 'true'], one)
    lh(['work', '--finish', 'a-day-of-work'], { ...one, ...author })
    lh(['work', '--finish', 'a-day-of-work'], one)
    fs.rmSync(path.join(repository, '.leasehold', 'tickets'), { recursive: true })
  })
})

/** Waits until a lease of the repository has expired. */
async function expired(name: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (lh(['why', name]).document['standing'] === 'expired') return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  throw new Error(`${name} does not expire`)
}

const tokenOf = (name: string): number => (lh(['why', name]).document['lease'] as { token: number }).token

describe('files', () => {
  const store = (): string => path.join(repository, '.git/leasehold')
  const lines = (file: string): string[] => fs.readFileSync(file, 'utf8').trimEnd().split('\n')

  it('every line of the log, of its archive too', () => {
    const archive = path.join(store(), 'archive')
    const files = [path.join(store(), 'claims.jsonl'), ...fs.readdirSync(archive).map(name => path.join(archive, name))]
    const ops = new Set<string>()
    for (const line of files.flatMap(lines)) {
      const record = JSON.parse(line) as { op: string }
      ops.add(record.op)
      expect(misfit('record', record)).toBeNull()
    }
    seen.set(
      'record',
      files.flatMap(lines).map(line => JSON.parse(line) as unknown),
    )
    for (const op of ['segment', 'live', 'past', 'ops', 'acquire', 'renew', 'heartbeat', 'release', 'transfer', 'force-evict'])
      expect(ops).toContain(op)
  })

  it('format, worktree.json, held.json', () => {
    for (const [name, file] of [
      ['format', 'format'],
      ['worktree-file', 'worktree.json'],
      ['held-file', 'held.json'],
    ] as const) {
      const document = JSON.parse(fs.readFileSync(path.join(store(), file), 'utf8')) as unknown
      expect(misfit(name, document)).toBeNull()
      seen.set(name, [document])
    }
  })

  it('every exported line', () => {
    const { stdout } = spawnSync(process.execPath, [executable, 'log', 'export'], { cwd: repository, encoding: 'utf8' })
    const operations = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as unknown)
    expect(operations.length).toBeGreaterThan(10)
    for (const operation of operations) expect(misfit('operation', operation)).toBeNull()
    seen.set('operation', operations)
  })
})

describe('the schema of a move', () => {
  it('store move, last of all', () => {
    const to = `file://${path.join(folder, 'moved')}`
    expect(lh(['store', 'move', '--to', to]).document['ok']).toBe(true)
    expect(lh(['store', 'move', '--to', 'file:']).document['ok']).toBe(true)
    expect(lh(['store', 'move', '--back']).status).toBe(2)
  })
})

describe('the schemas are strict', () => {
  it('refuses a member that is not documented, wherever it is', () => {
    for (const [name, documents] of seen) {
      for (const document of documents.slice(0, 30)) {
        for (const changed of withStranger(document)) expect(misfit(name, changed), `${name}: ${JSON.stringify(changed)}`).not.toBeNull()
      }
    }
  })

  it('has been tried with real output, each of them', () => {
    const tried = new Set([...seen.keys(), 'lease', 'holder', 'session'])
    expect(catalogue.map(({ name }) => name).filter(name => !tried.has(name))).toEqual([])
  })
})

/** Objects whose members are names that anybody may choose. */
const named = ['schema', 'entries', 'refused', 'operations', 'mapped', 'env', 'legacy']

/** Lists of what may have members that only its writer knows. */
const foreign = ['events']

/** Each copy of a document with one member too many, in one of its objects; a schema inside an answer may have any. */
function* withStranger(value: unknown, rebuild: (changed: unknown) => unknown = changed => changed): Generator {
  if (Array.isArray(value)) {
    for (const [index, item] of value.slice(0, 3).entries()) yield* withStranger(item, changed => rebuild(value.with(index, changed)))
  } else if (typeof value === 'object' && value !== null) {
    const own = value as Record<string, unknown>
    yield rebuild({ ...own, stranger: 1 })
    for (const [key, item] of Object.entries(own)) {
      if (!foreign.includes(key) && (!named.includes(key) || Array.isArray(item)))
        yield* withStranger(item, changed => rebuild({ ...own, [key]: changed }))
    }
  }
}
