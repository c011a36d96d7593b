import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { witnessOf } from '../../src/host/process.ts'
import { openFileStore } from '../../src/store/open.ts'
import type { FileStore } from '../../src/store/file/store.ts'
import { StillClock, tightPolicy } from '../support/cast.ts'
import type { Opened } from './suite.ts'
import { conformance } from './suite.ts'

const witness = witnessOf(process.pid)

for (const resident of [false, true]) {
  conformance(
    resident ? 'the file store of a process that stays' : 'the file store',
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
          limitsChosen: false,
          allowUnsafeFs: false,
          resident,
        })
      const store = again()
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
    { reservation: 'kernel-lock', durable: true, shared: true, binding: true },
  )
}
