import { expect, it } from 'vitest'
import { parse, repository } from '../support/cli.ts'
import type { Agent, Doc } from '../support/cli.ts'
import { needsEtcd, startEtcd } from '../support/etcd.ts'

// What `lh doctor` says of a cluster.

const codesOf = ({ findings }: Doc): readonly string[] => findings.map(({ code, severity }: Doc) => `${severity} ${code}`)

needsEtcd.describe('lh doctor with etcd', () => {
  const agentAt = (store: string): Agent => repository().as('agent:ann', { LEASEHOLD_STORE: store })

  it('tells versions, database and quota, latency, and what makes it stop', async () => {
    const quota = 16 << 20
    const etcd = await startEtcd([`--quota-backend-bytes=${quota}`])
    try {
      const ann = agentAt(`etcd://${etcd.address}/doctor`)
      ann.repo.busy = true
      expect(codesOf(await ann.ok('doctor'))).toContain('info no-store')
      await ann.acquire('held --ttl 1h')
      const well = await ann.ok('doctor')
      expect(codesOf(well)).toEqual(expect.arrayContaining(['info member', 'info one-endpoint', 'info database', 'info latency']))
      expect(codesOf(well).filter(code => code.startsWith('error'))).toEqual([])
      expect(well.findings.find(({ code }: Doc) => code === 'database').message).toContain('17 MB')
      // Until it is full.
      for (let number = 0; number < 20; number++) await put(etcd.address, `filling-${number}`, 'x'.repeat(1_000_000))
      const full = await ann.run('--json doctor')
      expect(full.code).toBe(2)
      expect(codesOf(parse(full.stdout))).toContain('error alarm')
      expect((await ann.refused('unavailable', 'claim acquire other')).message).toContain('no more writes')
      // What is held can still be seen.
      expect((await ann.ok('claim list')).leases).toHaveLength(1)
    } finally {
      await etcd.stop()
    }
  }, 60_000)

  it('a cluster that does not answer is an error; a holder that is silent is only told, and --fix ends the lease', async () => {
    const etcd = await startEtcd()
    const ann = agentAt(`etcd://${etcd.address}/doctor`)
    ann.repo.busy = true
    await ann.acquire('short --ttl 1s')
    await expect.poll(async () => codesOf(await ann.ok('doctor')), { timeout: 30_000 }).toContain('info lease-silent')
    await expect
      .poll(async () => ((await ann.ok('doctor --fix')).fixed as readonly string[]).join(), { timeout: 30_000 })
      .toContain('ended 1 lease')
    await etcd.stop()
    const dead = await ann.run('--json doctor')
    expect(dead.code).toBe(2)
    expect(codesOf(parse(dead.stdout))).toContain('error no-quorum')
  }, 90_000)

  it('after a backup was restored tokens are larger than all that were given', async () => {
    const etcd = await startEtcd()
    try {
      const ann = agentAt(`etcd://${etcd.address}/doctor`)
      ann.repo.busy = true
      const before = await ann.acquire('held --ttl 1h')
      await ann.ok('doctor --restored')
      expect((await ann.lease('ticket:held')).token).toBe(before.token)
      expect((await ann.acquire('next')).token).toBeGreaterThan(before.token + 1_000_000)
      await ann.ok('claim release held')
      expect((await ann.history()).map(({ op }: Doc) => op)).toEqual(['acquire', 'acquire', 'release'])
      expect(await ann.ok('verify')).toMatchObject({ records: 3, findings: [] })
    } finally {
      await etcd.stop()
    }
  })
})

async function put(address: string, key: string, value: string): Promise<void> {
  const body = JSON.stringify({ key: Buffer.from(key).toString('base64'), value: Buffer.from(value).toString('base64') })
  await fetch(`http://${address}/v3/kv/put`, { method: 'POST', body })
}
