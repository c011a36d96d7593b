import { afterAll, beforeAll, expect, it } from 'vitest'
import { Coordinator } from '../../src/coordinator.ts'
import { isFault } from '../../src/core/fault.ts'
import { systemClock } from '../../src/host/clock.ts'
import { etcdEnd } from '../../src/store/etcd/move.ts'
import { parse, repository } from '../support/cli.ts'
import type { Doc } from '../support/cli.ts'
import { roomy, someone } from '../support/etcd-clients.ts'
import { proxyTo } from '../support/etcd-proxy.ts'
import type { Proxy } from '../support/etcd-proxy.ts'
import { etcdStore, needsEtcd, startEtcd } from '../support/etcd.ts'
import type { Etcd } from '../support/etcd.ts'

// Processes that were there before the leases left etcd, know the space, and go on.

needsEtcd.describe('while the leases leave etcd', () => {
  let etcd: Etcd
  let slow: Proxy
  let delayMs = 0
  beforeAll(async () => {
    etcd = await startEtcd()
    slow = await proxyTo(etcd, { delayMs: () => delayMs })
  })
  afterAll(async () => {
    await slow.close()
    await etcd.stop()
  })

  it('processes that stay are refused afterwards, whatever they believe, and nothing that they were told is lost', async () => {
    const repo = repository()
    repo.busy = true
    const ann = repo.as('agent:ann')
    const space = `leaving/${process.pid}`
    // The mover has a long way, so that there is time between its steps.
    await ann.ok(`store move --to etcd://127.0.0.1:${slow.port}/${space}`)
    const { token } = await ann.acquire('beaten --ttl 1h')
    const renewing = ann.start('--json claim heartbeat beaten --every 100ms')

    const store = etcdStore(etcd, space, systemClock())
    const coordinator = new Coordinator(store, roomy, 'test')
    const acknowledged: { readonly resource: string; readonly token: number }[] = []
    const errors = new Set<string>()
    const caller = async (number: number): Promise<void> => {
      const who = { holder: someone(`agent:stays-${number}`, `s-${number}`) }
      for (let turn = 0; ; turn++) {
        const resource = `env:stays-${number}-${turn}`
        try {
          const answer = await coordinator.acquire(who, { resources: [resource], ttlSecs: 3600 })
          if (answer.ok) acknowledged.push({ resource, token: answer.leases[0]!.token })
        } catch (error) {
          if (!isFault(error)) throw error
          errors.add(error.message.replace(/^.* (are being moved|were moved) .*$/, '$1'))
          if (error.message.includes('were moved')) return
        }
        await new Promise(resolve => setTimeout(resolve, 20))
      }
    }
    const staying = Promise.all([caller(1), caller(2), caller(3)])
    await expect.poll(() => acknowledged.length, { timeout: 20_000 }).toBeGreaterThan(10)
    delayMs = 100
    await ann.ok('store move --to file:')
    delayMs = 0
    await staying
    expect([...errors].toSorted((one, other) => one.localeCompare(other))).toEqual(['are being moved', 'were moved'])

    const held: readonly Doc[] = (await ann.ok('claim list')).leases
    for (const { resource, token: given } of acknowledged)
      expect(held.find(lease => lease['resource'] === resource)?.['token'], resource).toBe(given)
    // Nobody has more than they were told, either: what was refused was not done.
    expect(held).toHaveLength(acknowledged.length + 1)
    expect(held.find(({ resource }) => resource === 'ticket:beaten')?.['token']).toBe(token)
    expect(await ann.ok('verify')).toMatchObject({ findings: [] })

    // What stays does not come back by itself: it is told where to go, each time.
    for (const work of [
      () => coordinator.acquire({ holder: someone('agent:late') }, { resources: ['env:late'], ttlSecs: 60 }),
      () => coordinator.release({ holder: someone('agent:stays-1', 's-1') }, { target: { resource: 'env:stays-1-0' } }),
      () => coordinator.renew({ holder: someone('agent:stays-1', 's-1') }, { target: { resource: 'env:stays-1-0' } }),
      () => store.view(),
    ])
      await expect(work()).rejects.toMatchObject({ code: 'unavailable', message: expect.stringMatching(/were moved to file:/) })
    store.close()
    // It asked while the move was under way, and ends when that is over.
    const beaten = await renewing.ended
    expect([beaten.code, parse(beaten.stdout).error.details]).toMatchObject([7, { outcome: 'nothing_changed', moved_to: 'file:' }])
    // And the claim that it kept is kept where it is now.
    expect((await ann.ok('claim renew beaten')).ok).toBe(true)
  }, 60_000)

  it('a move that is given up lets them go on', async () => {
    const [store, mover] = [etcdStore(etcd, 'given-up', systemClock()), etcdStore(etcd, 'given-up', systemClock())]
    const coordinator = new Coordinator(store, roomy, 'test')
    const take = (number: number): Promise<boolean> =>
      coordinator.acquire({ holder: someone('agent:stays', 's') }, { resources: [`env:${number}`], ttlSecs: 60 }).then(({ ok }) => ok)
    expect(await take(1)).toBe(true)
    await etcdEnd(mover).freeze('file:')
    for (const number of [2, 3]) await expect(take(number)).rejects.toThrow(/are being moved to file:/)
    await etcdEnd(mover).thaw()
    expect(await take(4)).toBe(true)
    for (const each of [store, mover]) each.close()
  })
})
