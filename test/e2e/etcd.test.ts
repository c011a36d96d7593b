import { execFileSync, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import https from 'node:https'
import path from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { catalogue } from '../../src/service/schema/catalogue.ts'
import { Repo, exits, folder, git, isRunning, parse, signal, until } from '../support/cli.ts'
import type { Agent, Doc } from '../support/cli.ts'
import { type Etcd, freePort, isInstalled, needsEtcd, startEtcd } from '../support/etcd.ts'
import { Person } from '../support/git-hooks.ts'
import { commit, putTicket } from '../support/tickets.ts'
import { requires } from '../support/skip.ts'
import { id, shop } from '../support/work.ts'

const needsFaketime = requires(spawnSync('faketime', ['--version']).status === 0, 'needs faketime, for a day to pass')

// The same commands, with the leases in etcd: two clones that only share a URL.

needsEtcd.describe('with the leases in etcd', () => {
  let etcd: Etcd
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())

  const url = (addresses = etcd.address): string => `etcd://${addresses}/e2e/${randomUUID()}`

  /** A repository whose configuration names a space of its own. */
  function configured(dir = folder('etcd-'), store = url()): Repo {
    if (!fs.existsSync(path.join(dir, '.git'))) git(dir, 'init', '-q', '-b', 'main')
    fs.mkdirSync(path.join(dir, '.leasehold'), { recursive: true })
    fs.writeFileSync(path.join(dir, '.leasehold', 'config.yaml'), `store: ${store}\n`)
    return new Repo(dir)
  }

  /** Two clones of one repository, as two machines have it. */
  function twoClones(): { readonly one: Repo; readonly two: Repo } {
    const one = configured()
    putTicket(one.dir, id)
    commit(one.dir)
    const dir = path.join(folder('clone-'), 'app')
    git(one.dir, 'clone', '-q', one.dir, dir)
    return { one, two: new Repo(dir) }
  }

  const tokenOf = async (agent: Agent, resource: string): Promise<number> => (await agent.lease(resource)).token

  needsFaketime.it('old records go when somebody says so, and what they made stays known', async () => {
    const { one } = twoClones()
    const a = one.as('agent:a')
    await a.ok('claim acquire env:kept --ttl 10m')
    await a.ok('ticket start', id)
    await a.ok('ticket done', id)
    expect(await a.ok('log compact')).toEqual({ ok: true, pruned_records: 0 })
    expect((await a.history()).length).toBeGreaterThanOrEqual(3)
    const later = a.with({ LEASEHOLD_LOG_RETENTION: '1d', FAKETIME_DONT_FAKE_MONOTONIC: '1' })
    const { stdout } = await later.startWith(['faketime', '-f', '+2d'], '--json log compact').ended
    expect(parse(stdout).pruned_records).toBeGreaterThanOrEqual(3)
    expect(await a.history()).toEqual([])
    expect(await a.lease('env:kept')).toMatchObject({ holder: { agent_id: 'agent:a' } })
    await a.refused('policy', `claim acquire ${id}`)
  })

  it('a claim is one for every clone, from acquire to release', async () => {
    const { one, two } = twoClones()
    const [a, b] = [one.as('agent:a'), two.as('agent:b')]
    const lease = await a.acquire('env:x --ttl 10m')
    const error = await b.refused('held', 'claim acquire env:x')
    expect(error.holder).toMatchObject({ agent_id: 'agent:a' })
    expect(await b.ok('why env:x')).toMatchObject({
      standing: 'live',
      lease: { token: lease.token },
      answered_by: `http://${etcd.address}`,
    })
    expect(await a.ok('claim heartbeat env:x --note working')).toMatchObject({ lease: { token: lease.token, note: 'working' } })
    const moved = (await a.ok('claim transfer env:x --to-agent agent:b --reason handover')).lease
    expect(moved.token).toBeGreaterThan(lease.token)
    await a.refused('superseded', `claim check env:x --token ${lease.token}`)
    await b.ok('claim evict env:x --reason enough')
    const ops = (await a.history()).map(({ op }) => op)
    expect(ops).toEqual(['acquire', 'heartbeat', 'transfer', 'force-evict'])
    // Nothing was written into the clone but what is its own.
    expect(fs.readdirSync(one.store).filter(name => !name.startsWith('config.cache'))).toEqual(
      expect.not.arrayContaining(['claims.jsonl', 'format']),
    )
  })

  it('of 12 agents in two clones who ask at once exactly one gets it', async () => {
    const { one, two } = twoClones()
    const runs = await Promise.all(
      Array.from({ length: 12 }, (_, n) => (n % 2 === 0 ? one : two).as(`agent:${n}`).run('--json claim acquire env:race')),
    )
    expect(runs.map(({ code }) => code).sort((x, y) => x! - y!)).toEqual([0, ...Array.from({ length: 11 }, () => 3)])
  })

  it('an op_id is answered once, also for a renewal', async () => {
    const a = configured().as('agent:a')
    const first = await a.ok('claim acquire env:x --op-id once')
    expect(await a.ok('claim acquire env:x --op-id once')).toMatchObject({ replay: true, live: true, lease: { token: first.lease.token } })
    await a.ok('claim renew env:x --op-id again')
    expect(await a.ok('claim renew env:x --op-id again')).toMatchObject({ replay: true })
    expect((await a.history()).map(({ op }) => op)).toEqual(['acquire', 'renew'])
  })

  it('a waiter in another clone is woken by the release', async () => {
    const { one, two } = twoClones()
    const [a, b] = [one.as('agent:a'), two.as('agent:b')]
    await a.acquire('env:x --ttl 1h')
    const waiting = b.start('claim acquire env:x --wait=60s')
    await until(() => waiting.stderr !== '', 'it says that it waits')
    await a.ok('claim release env:x')
    expect(await waiting.ended).toMatchObject({ code: 0 })
    expect((await a.lease('env:x')).holder.agent_id).toBe('agent:b')
  })

  it('a command under a lease keeps it past its ttl, and what is killed with it frees it soon', async () => {
    const repo = configured()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const done = await a.run('exec env:x -- sh -c', 'test "$LEASEHOLD_TOKEN" -gt 0')
    expect(done).toMatchObject({ code: 0 })
    const held = a.start('exec env:y -- sleep 600')
    const lease = await until(() => a.lease('env:y'), 'it is held')
    expect(lease).toMatchObject({ ttl_secs: 12, bound: true })
    await b.refused('held', 'claim acquire env:y')
    await a.refused('held', 'exec env:y -- true')
    signal(held.pid, 'SIGKILL')
    expect(await b.ok('claim acquire env:y --wait=60s')).toMatchObject({ lease: { holder: { agent_id: 'agent:b' } } })
    expect((await b.history('env:y')).map(({ op }) => op)).toEqual(['acquire', 'auto-evict', 'acquire'])
  })

  it('an agent whose launcher was killed ends before the next one starts', async () => {
    const repo = configured()
    const a = repo.as('agent:a')
    putTicket(repo.dir, '20260101-000000-fix')
    commit(repo.dir)
    const file = path.join(folder(), 'first')
    const first = a.start('launch fix --role dev --ready fd --', 'sh', '-c', `echo $$ >${file}; exec sleep 600`)
    const pid = await until(() => (fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) : 0), 'its agent runs')
    signal(first.pid, 'SIGKILL')
    const words = 'launch fix --role dev --ready fd --'
    const second = await until(async () => {
      const tried = await a.run(words, 'sh', '-c', `grep -qs '^State:.[RSDT]' /proc/${pid}/status && exit 9; echo >&3; exit 0`)
      return tried.code === exits.held ? null : tried
    }, 'its reservation lapses')
    expect(second.code, second.stderr).toBe(0)
    expect(isRunning(pid)).toBe(false)
  })

  it('an eviction ends the command of its holder', async () => {
    const repo = configured()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const held = a.start('--json exec env:x -- sleep 600')
    await until(() => a.lease('env:x'), 'it is held')
    await b.ok('claim evict env:x --reason stop')
    expect(await held.ended).toMatchObject({ code: 6 })
  })

  it('a ticket goes from ready to done, and is not given out again in the other clone', async () => {
    const { one, two } = twoClones()
    const [a, b] = [one.as('agent:a'), two.as('agent:b')]
    expect((await a.ok('ticket next --claim')).ticket.id).toBe(id)
    expect((await b.ok('ticket next --claim')).ticket).toBeNull()
    await a.ok(`ticket start ${id}`)
    await b.refused('held', `ticket start ${id}`)
    await b.refused('not_owner', `ticket set ${id} title=Mine`)
    await a.ok(`ticket done ${id}`)
    const again = await b.run(`--json ticket start ${id}`)
    expect(again.code).toBe(8)
    expect((await b.history(`ticket:${id}`)).at(-1)).toMatchObject({ op: 'release', outcome: 'done' })
  })

  it('an agent that was superseded changes no file', async () => {
    const { one, two } = twoClones()
    const [a, b] = [one.as('agent:a'), two.as('agent:b')]
    await a.ok(`ticket start ${id}`)
    const token = await tokenOf(a, `ticket:${id}`)
    await b.ok(`claim evict ${id} --reason gone`)
    await b.acquire(id)
    const file = path.join(one.dir, '.leasehold', 'tickets', id, 'ticket.md')
    const before = fs.readFileSync(file, 'utf8')
    await a.refused('superseded', `ticket done ${id} --token ${token}`)
    expect(fs.readFileSync(file, 'utf8')).toBe(before)
  })

  it('a day of work: worktree, gate, merge', async () => {
    const { repo, place, a, b } = shop({}, { check: { command: 'test -f made' } })
    fs.writeFileSync(path.join(repo.dir, '.leasehold', 'config.yaml'), `store: ${url()}\n`)
    commit(repo.dir)
    await a.ok(`work ${id}`)
    expect(fs.existsSync(place)).toBe(true)
    await b.refused('held', `work ${id}`)
    fs.writeFileSync(path.join(place, 'made'), '1\n')
    commit(place)
    await a.in(place).ok(`gate run ${id} check`)
    await a.in(place).ok('work --finish')
    expect([fs.existsSync(place), fs.existsSync(path.join(repo.dir, 'made'))]).toEqual([false, true])
    expect((await a.ok('claim list')).count).toBe(0)
  })

  it('commits name the ownership, and a push of work that was lost is refused', () => {
    const { one } = twoClones()
    const remote = folder('remote-')
    git(remote, 'init', '-q', '--bare')
    git(one.dir, 'remote', 'add', 'origin', remote)
    const [ann, bob] = ['agent:ann', 'agent:bob'].map(agent => new Person(one.dir, { LEASEHOLD_AGENT_ID: agent })) as [Person, Person]
    ann.ok('hooks install git')
    ann.did('push', '-q', 'origin', 'main')
    ann.ok(`claim acquire ${id}`)
    ann.stage('src/x')
    ann.did('commit', '-q', '-m', 'work')
    expect(git(one.dir, 'log', '-1', '--format=%B')).toMatch(/Leasehold-Token: \d+/)
    bob.ok(`claim evict ${id} --reason`, 'she is gone')
    bob.ok(`claim acquire ${id} --agent agent:bob`)
    const pushed = ann.git('push', 'origin', 'main')
    expect(pushed.said).toMatch(/ended by force-evict.*agent:bob/)
    expect(pushed.code).toBe(1)
  })

  it('what cannot be reached is unavailable, names whom it asked, and takes nothing for free', async () => {
    const port = await freePort()
    const a = configured(folder('etcd-'), `etcd://127.0.0.1:${port}/x`).as('agent:a')
    for (const words of ['claim acquire env:x', 'claim list', 'why env:x', 'status', 'claim check env:x --token 1', 'exec env:x -- true']) {
      const error = await a.refused('unavailable', words)
      expect(error.details, words).toMatchObject({
        outcome: 'nothing_changed',
        endpoints: [{ endpoint: `http://127.0.0.1:${port}`, error: 'ECONNREFUSED' }],
      })
    }
  })

  requires(isInstalled('openssl', 'version'), 'needs openssl on PATH').it(
    'a certificate that nobody vouches for is said to be one, with the setting that names who does',
    async () => {
      const [place, port] = [folder('tls-'), await freePort()]
      const [key, cert] = [path.join(place, 'key.pem'), path.join(place, 'cert.pem')]
      const make = `req -x509 -newkey rsa:2048 -nodes -keyout ${key} -out ${cert} -days 1 -subj /CN=x -addext subjectAltName=IP:127.0.0.1`
      execFileSync('openssl', make.split(' '), { stdio: 'ignore' })
      const server = https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) }, (_, response) => response.end('{}'))
      await new Promise<void>(resolve => void server.listen(port, '127.0.0.1', resolve))
      try {
        const a = configured(folder('etcd-'), `etcds://127.0.0.1:${port}/x`).as('agent:a')
        const error = await a.refused('unavailable', 'claim acquire env:x')
        expect(error.message).toContain('DEPTH_ZERO_SELF_SIGNED_CERT')
        expect(error.hint).toContain('lh config set --user etcd.ca_file')
        const { findings } = parse((await a.run('--json doctor')).stdout)
        expect(findings.find((each: Doc) => each.code === 'member-silent').fix).toBe(error.hint)
      } finally {
        server.close()
      }
    },
  )

  it('a member that is down is passed over', async () => {
    const a = configured(folder('etcd-'), url(`127.0.0.1:${await freePort()},${etcd.address}`)).as('agent:a')
    await a.acquire('env:x')
    expect(await a.ok('status')).toMatchObject({ answered_by: `http://${etcd.address}`, count: 1 })
  })

  it('a password is not sent to a host that only the repository names', async () => {
    const a = configured().as('agent:a', { LEASEHOLD_ETCD_USER: 'ann', LEASEHOLD_ETCD_PASSWORD_FILE: '/dev/null' })
    expect((await a.refused('usage', 'claim list')).message).toMatch(/not sent to 127\.0\.0\.1.*etcd\.hosts/)
  })

  it('verify vouches for all of it, and names what is wrong by its key', async () => {
    const space = randomUUID()
    const a = configured(undefined, `etcd://${etcd.address}/${space}`).as('agent:a')
    await a.acquire('fix-login')
    await a.ok('claim release fix-login')
    await a.acquire('fix-login')
    expect(await a.ok('verify')).toMatchObject({ records: 3, keys: 1, leases: 1, findings: [], count: 0 })
    const ajv = new Ajv2020({ allowUnionTypes: true, schemas: catalogue.map(({ schema }) => schema) })
    const said = ajv.getSchema('urn:leasehold:schema:1:verify')!
    expect([said(await a.ok('verify')), said.errors]).toEqual([true, null])
    expect((await a.run('verify')).stdout).toMatch(/3 records about 1 key, the last one is \d+; 1 lease/)
    const key = `leasehold/v1/${space}/log/ticket%3Afix-login/000000000002`
    await fetch(`http://${etcd.address}/v3/kv/deleterange`, { method: 'POST', body: JSON.stringify({ key: btoa(key) }) })
    const { code, stdout } = await a.run('--json verify')
    expect(code).toBe(7)
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      error: { code: 'unavailable', exit: 7, message: expect.stringMatching(/^1 fault in the log of etcd:/) },
      findings: [{ code: 'log-damaged', file: null, key: key.replace(/2$/, '3'), message: 'record 2 is missing before it', fix: null }],
    })
    expect([said(JSON.parse(stdout)), said.errors]).toEqual([true, null])
  })
})
