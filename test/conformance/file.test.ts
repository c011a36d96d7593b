import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { witnessOf } from '../../src/host/process.ts'
import { openFileStore } from '../../src/store/open.ts'
import type { FileStore } from '../../src/store/file/store.ts'
import type { Store } from '../../src/store/store.ts'
import { StillClock, tightPolicy } from '../support/cast.ts'
import type { Opened } from '../../src/testing.ts'
import { conformance } from './suite.ts'

const witness = witnessOf(process.pid)

/** Two stores of processes that stay, asked in turns: each has to catch up with what the other wrote. */
function inTurns(first: Store, second: Store): Store {
  let asked = 0
  const next = (): Store => (asked++ % 2 === 0 ? first : second)
  return {
    capabilities: first.capabilities,
    location: first.location,
    warnings: first.warnings,
    transact: (decide, options) => next().transact(decide, options),
    view: () => next().view(),
    history: query => next().history(query),
    changed: (sinceSeq, timeoutMs) => next().changed(sinceSeq, timeoutMs),
    close() {
      first.close()
      second.close()
    },
  }
}

for (const [name, resident, two] of [
  ['the file store', false, false],
  ['the file store of a process that stays', true, false],
  ['the file store of two processes that stay', true, true],
] as const) {
  conformance(
    name,
    () => {
      const clock = new StillClock()
      const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-conformance-'))
      const again = (): FileStore =>
        openFileStore({
          directory: path.join(folder, 'leasehold'),
          clock,
          shared: false,
          lockWaitMs: 10_000,
          retention: { segmentBytes: 8 * 1024 * 1024, maxAgeMs: 86_400_000, maxBytes: 64 * 1024 * 1024 },
          limits: {
            max_indefinite_leases_per_agent: tightPolicy.maxIndefinitePerAgent,
            max_indefinite_leases_per_repo: tightPolicy.maxIndefinitePerRepo,
          },
          limitsChosen: [],
          allowUnsafeFs: false,
          resident,
        })
      const store = two ? inTurns(again(), again()) : again()
      const opened: Opened = {
        store,
        ...(witness === null ? {} : { witness }),
        again,
        advance: ms => clock.advance(ms),
        close() {
          store.close()
          rmSync(folder, { recursive: true, force: true })
        },
      }
      return Promise.resolve(opened)
    },
    { reservation: 'kernel-lock', durable: true, shared: true, binding: true, gapless: true, beats: 'record' },
  )
}
