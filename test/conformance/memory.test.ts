import { MemoryStore } from '../../src/store/memory.ts'
import { StillClock } from '../support/cast.ts'
import { conformance } from './suite.ts'

for (const [name, beats] of [
  ['the memory store', 'record'],
  ['the memory store without records of renewals', 'engine'],
] as const) {
  conformance(
    name,
    () => {
      const clock = new StillClock()
      const store = new MemoryStore({ now: clock.now, beats })
      return Promise.resolve({ store, advance: ms => clock.advance(ms), close: () => store.close() })
    },
    { reservation: 'record', durable: false, shared: false, binding: true, gapless: true, beats },
  )
}
