import type * as Library from '../../src/index.ts'
import type * as Testing from '../../src/testing.ts'
import { StillClock } from '../support/cast.ts'

// The suite as the package brings it, `leasehold/testing`, on a store of the package: what a stranger's test does.

const built = (file: string): string => new URL(`../../dist/lib/${file}`, import.meta.url).href
const { conformance } = (await import(built('testing.js'))) as typeof Testing
const { MemoryStore } = (await import(built('index.js'))) as typeof Library

conformance(
  'the memory store of the package',
  () => {
    const clock = new StillClock()
    const store = new MemoryStore({ now: clock.now })
    return Promise.resolve({ store, advance: ms => clock.advance(ms), close: () => store.close() })
  },
  { reservation: 'record', durable: false, shared: false, binding: true, gapless: true, beats: 'record' },
)
