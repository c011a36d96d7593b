import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { isFault } from '../../src/core/fault.ts'
import { systemClock } from '../../src/host/clock.ts'
import { prefixEnd } from '../../src/store/etcd/keys.ts'
import { toBytes } from '../../src/store/etcd/messages.ts'
import { openEtcdStore } from '../../src/store/etcd/open.ts'
import type { EtcdSettings } from '../../src/store/etcd/open.ts'
import type { EtcdStore } from '../../src/store/etcd/store.ts'
import { Bench, collect } from '../support/bench.ts'
import { acquire, ann, bob, on, release, renew } from '../support/cast.ts'
import { type Etcd, needsEtcd, startEtcd } from '../support/etcd.ts'

const secret = 'correct horse battery staple'

needsEtcd.describe('an etcd that asks who we are', () => {
  let etcd: Etcd
  const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-etcd-access-'))
  const [right, wrong] = ['right', 'wrong'].map(name => path.join(folder, name)) as [string, string]
  const stores: EtcdStore[] = []

  beforeAll(async () => {
    writeFileSync(right, `${secret}\n`)
    writeFileSync(wrong, 'guess\n')
    etcd = await startEtcd()
    const call = async (what: string, request: object): Promise<void> => {
      const answer = await fetch(`http://${etcd.address}/v3/auth/${what}`, { method: 'POST', body: JSON.stringify(request) })
      if (!answer.ok) throw new Error(`${what}: ${await answer.text()}`)
    }
    // A role that may do what it has to in one space, and nothing else.
    const space = 'leasehold/v1/team/'
    await call('role/add', { name: 'leasehold' })
    const perm = { permType: 'READWRITE', key: toBytes(space), range_end: toBytes(prefixEnd(space)) }
    await call('role/grant', { name: 'leasehold', perm })
    await call('user/add', { name: 'ann', password: secret })
    await call('user/grant', { user: 'ann', role: 'leasehold' })
    await call('user/add', { name: 'root', password: 'root' })
    await call('role/add', { name: 'root' })
    await call('user/grant', { user: 'root', role: 'root' })
    await call('enable', {})
  })
  afterAll(async () => {
    for (const store of stores) store.close()
    await etcd.stop()
  })

  const none = { caFile: null, certFile: null, keyFile: null }
  const open = (space: string, access: Partial<EtcdSettings['access']>, hosts?: readonly string[]): EtcdStore =>
    openAt(etcd, space, access, hosts)
  function openAt(
    { address }: Etcd,
    space: string,
    access: Partial<EtcdSettings['access']>,
    hosts: readonly string[] = ['127.0.0.1'],
  ): EtcdStore {
    const store = openEtcdStore({
      etcd: { url: `etcd://${address}/${space}`, hosts, access: { user: null, passwordFile: null, ...none, ...access } },
      clock: systemClock(),
      localDirectory: folder,
      lockWaitMs: 10_000,
      limits: { max_indefinite_leases_per_agent: 2, max_indefinite_leases_per_repo: 10 },
      limitsChosen: [],
    })
    stores.push(store)
    return store
  }

  const faultOf = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.then(
      () => null,
      thrown => thrown,
    )
    if (!isFault(error)) throw new Error(`no fault, but ${error}`)
    return `${error.code}: ${error.message} ${error.hint} ${JSON.stringify(error.details)}`
  }

  it('lets a user of the space in, for all that a claim needs, and one role is enough', async () => {
    const store = open('team', { user: 'ann', passwordFile: right })
    const bench = new Bench({ store, policy: { ttlSecs: 600 } })
    const { lastSeq } = await bench.does(acquire(ann, 'ticket:a'))
    expect(await bench.refuses(acquire(bob, 'ticket:a'))).toMatchObject({ kind: 'held' })
    await bench.does(renew(ann, on('ticket:a'), { note: 'at work' }))
    await store.changed(lastSeq, 10_000)
    await bench.does(release(ann, on('ticket:a')))
    expect([...(await store.view()).all()]).toEqual([])
    expect((await collect(store)).map(({ operation }) => operation.op)).toEqual(['acquire', 'renew', 'release'])
    const together = ['ticket:b', 'ticket:c', 'ticket:d', 'ticket:e', 'ticket:f']
    await Promise.all(together.map(key => bench.does(acquire(ann, key))))
    expect([...(await store.view()).all()]).toHaveLength(together.length)
  })

  it('refuses a wrong password, nobody, and another space; no message has the password in it', async () => {
    const said = await Promise.all([
      faultOf(open('team', { user: 'ann', passwordFile: wrong }).view()),
      faultOf(open('team', {}).view()),
      faultOf(open('other', { user: 'ann', passwordFile: right }).view()),
    ])
    expect(said).toEqual([
      expect.stringMatching(/unavailable: etcd does not let the user "ann" in.*etcd\.password_file/),
      expect.stringMatching(/unavailable: etcd asks who we are.*etcd\.user/),
      expect.stringMatching(/unavailable: etcd does not let us do that: .*permission denied.*leasehold\/v1\//),
    ])
    for (const text of said) expect(text).not.toMatch(new RegExp(`${secret}|guess`))
  })

  it('is not sent a password by a URL that names a host of its own', () => {
    expect(() => open('team', { user: 'ann', passwordFile: right }, ['etcd.example'])).toThrow(/not sent to 127\.0\.0\.1/)
    for (const [named, host] of [
      ['[::1]', '::1'],
      ['[::1]', '[::1]'],
      ['Etcd.example', 'etcd.Example'],
    ] as const)
      expect(() => openAt({ ...etcd, address: `${named}:2379` }, 'team', { user: 'ann', passwordFile: right }, [host])).not.toThrow()
    expect(() => open('team', { user: 'ann' })).toThrow(/needs etcd\.password_file/)
    expect(() => open('team', { certFile: '/x' })).toThrow(/only of use together/)
  })

  it('asks for a new token where somebody changed a role, which ends those that carry the old state in them', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const [priv, pub] = [path.join(folder, 'jwt.key'), path.join(folder, 'jwt.pem')]
    writeFileSync(priv, privateKey.export({ type: 'pkcs8', format: 'pem' }))
    writeFileSync(pub, publicKey.export({ type: 'spki', format: 'pem' }))
    const signed = await startEtcd(['--auth-token', `jwt,pub-key=${pub},priv-key=${priv},sign-method=RS256,ttl=10m`])
    const ask = async (what: string, request: object, authorization = ''): Promise<{ token?: string }> => {
      const headers: Record<string, string> = authorization === '' ? {} : { authorization }
      const options = { method: 'POST', headers, body: JSON.stringify(request) }
      return (await fetch(`http://${signed.address}/v3/auth/${what}`, options)).json() as Promise<{ token?: string }>
    }
    await ask('user/add', { name: 'root', password: secret })
    await ask('role/add', { name: 'root' })
    await ask('user/grant', { user: 'root', role: 'root' })
    await ask('enable', {})
    const store = openAt(signed, 'team', { user: 'root', passwordFile: right })
    const bench = new Bench({ store, policy: { ttlSecs: 600 } })
    await bench.does(acquire(ann, 'ticket:a'))
    const { token } = await ask('authenticate', { name: 'root', password: secret })
    await ask('role/add', { name: 'another' }, token)
    await bench.does(renew(ann, on('ticket:a'), { note: 'still' }))
    expect([...(await store.view()).all()]).toHaveLength(1)
    store.close()
    await signed.stop()
  })
})
