import { MemoryStore } from '../../src/store/memory.ts'
import { StillClock } from '../support/cast.ts'
import { conformance } from './suite.ts'

conformance(
  'the memory store',
  () => {
    const clock = new StillClock()
    const store = new MemoryStore({ now: clock.now })
    return Promise.resolve({ store, advance: ms => clock.advance(ms), close: () => store.close() })
  },
  { reservation: 'record', durable: false, shared: false, binding: true },
)
