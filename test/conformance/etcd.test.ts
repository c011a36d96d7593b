import { afterAll, beforeAll, expect } from 'vitest'
import type { EtcdStore } from '../../src/store/etcd/store.ts'
import { verifySpace } from '../../src/store/etcd/verify.ts'
import type { Timing } from '../../src/store/etcd/timing.ts'
import type { Store } from '../../src/store/store.ts'
import { StillClock } from '../support/cast.ts'
import type { Etcd } from '../support/etcd.ts'
import { StillLeases, etcdStore, needsEtcd, startEtcd } from '../support/etcd.ts'
import { conformance } from './suite.ts'

/** No second look and no rounding: what the suite expects of a clock that is the store's own. */
const exact: Timing = {
  engineSecs: ({ ttlSecs, staleSecs }) => (ttlSecs > 0 ? ttlSecs : staleSecs > 0 ? staleSecs : null),
  guardSecs: () => 0,
}

/** A store whose engine leases end as soon as the test's clock says so. */
function settling(store: EtcdStore, leases: StillLeases): Store {
  const settled = <T>(work: () => Promise<T>): Promise<T> => leases.settle(store.gateway).then(work)
  return {
    capabilities: store.capabilities,
    location: store.location,
    warnings: store.warnings,
    transact: (decide, options) => settled(() => store.transact(decide, options)),
    view: about => settled(() => store.view(about)),
    history: query => store.history(query),
    changed: (sinceSeq, timeoutMs) => store.changed(sinceSeq, timeoutMs),
    close: () => store.close(),
  }
}

needsEtcd.describe('on a real etcd', () => {
  let etcd: Etcd
  let spaces = 0
  beforeAll(async () => {
    etcd = await startEtcd()
  })
  afterAll(() => etcd.stop())

  conformance(
    'the etcd store',
    () => {
      const clock = new StillClock()
      const leases = new StillLeases(() => clock.m)
      const space = `conformance/${++spaces}`
      const again = (): Store => settling(etcdStore(etcd, space, clock, { timing: exact, engineLeases: leases.open }), leases)
      const store = again()
      const close = async (): Promise<void> => {
        // Whatever was done to it, who reads it back finds nothing wrong.
        const { gateway, names } = etcdStore(etcd, space, clock)
        const { faults } = await verifySpace(gateway, names, space)
        store.close()
        gateway.close()
        expect(faults).toEqual([])
      }
      return Promise.resolve({ store, again, advance: (ms: number) => clock.advance(ms), close })
    },
    { reservation: 'record', durable: true, shared: true, binding: false, gapless: false, beats: 'engine' },
  )
})
