import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Holder } from '../../../src/core/lease.ts'
import type { Entry, Operation } from '../../../src/core/operation.ts'
import { checkedLine, firstPrev, sumOf } from '../../../src/store/file/record.ts'
import { ResidentState, glimpse } from '../../../src/store/file/resident-state.ts'
import { sealEntry } from '../../../src/store/file/segment.ts'
import { FullState } from '../../../src/store/state.ts'

const b = 'boot.time'
const holder = (name: string): Holder => ({ agentId: `agent:${name}`, worktreeId: 'wt:1', sessionId: name, witness: null })

interface Step {
  readonly key: number
  readonly verb: 'acquire' | 'renew' | 'heartbeat' | 'release' | 'auto-evict'
  readonly ttlSecs: number
  readonly note: string | null
  /** Somebody here asks for a key after this record. */
  readonly ask: number | null
}

const keys = ['ticket:a', 'ticket:b', 'ticket:ü', 'ticket:"quoted"', 'path:src/**', 'ticket:c']

const step: fc.Arbitrary<Step> = fc.record({
  key: fc.nat(keys.length - 1),
  verb: fc.constantFrom('acquire', 'renew', 'heartbeat', 'release', 'auto-evict'),
  ttlSecs: fc.constantFrom(0, 60, 600),
  note: fc.constantFrom(null, 'on it', 'héh', ',"resource":"ticket:c"', '"remaining":null,"ttl_secs":0,'),
  ask: fc.option(fc.nat(keys.length - 1), { freq: 4 }),
})

/** The records that a store could have written for these steps. */
function recordsOf(steps: readonly Step[]): readonly { readonly entry: Entry; readonly ask: number | null }[] {
  const held = new Map<string, number>()
  return steps.map(({ key, verb, ttlSecs, note, ask }, index) => {
    const seq = index + 1
    const resource = keys[key]!
    const token = held.get(resource)
    const who = holder(`worker-${key}`)
    const subject = { opId: `op-${seq}-${note}`, actor: who.agentId, resources: [resource], leaseIds: [`L${token ?? seq}`] }
    const operation = operationOf()
    return { entry: { seq, at: 1_790_000_000_000 + seq, clk: { b, m: 1000 + seq }, operation }, ask }

    function operationOf(): Operation {
      if (token === undefined) {
        held.set(resource, seq)
        const terms = { ttlSecs, staleSecs: 60, branch: null, reason: note, binding: null, from: null }
        return { op: 'acquire', ...subject, holder: who, ...terms }
      }
      if (verb === 'acquire' || verb === 'renew' || verb === 'heartbeat')
        return { op: verb === 'acquire' ? 'renew' : verb, ...subject, token, holder: who, ttlSecs, late: false, note }
      held.delete(resource)
      if (verb === 'release') return { op: 'release', ...subject, token, holder: who, reason: note, outcome: note, remaining: null }
      return { op: 'auto-evict', ...subject, previousHolder: who, previousToken: token, reason: 'ttl' }
    }
  })
}

const everything = (state: FullState): unknown => ({
  lastSeq: state.lastSeq,
  clocks: state.clocks,
  slots: keys.map(key => state.slot(key)),
  leases: [...state.leases()].map(({ leaseId }) => leaseId).toSorted(),
  pasts: [...state.pasts()].map(({ resource }) => resource).toSorted(),
  paths: [...state.paths()].map(({ leaseId }) => leaseId).toSorted(),
  indefinite: state
    .indefinite()
    .map(({ resource }) => resource)
    .toSorted(),
})

describe('the state of a process that stays', () => {
  it('is what folding every record gives, whichever of them waited', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const full = new FullState(0, { current: { b, m: 0 }, seen: [b] })
        const resident = new ResidentState(new FullState(0, { current: { b, m: 0 }, seen: [b] }))
        let position = { seq: 0, sum: firstPrev }
        let waited = 0
        for (const { entry, ask } of recordsOf(steps)) {
          const bytes = Buffer.from(sealEntry(entry, position.sum).line)
          const line = checkedLine(bytes, 0, bytes.length - 1)!
          const seen = glimpse(line, position, b)
          position = { seq: entry.seq, sum: sumOf(line) }
          full.apply(entry)
          if (seen !== null && resident.defer(seen)) {
            waited++
            resident.moveTo(entry.seq, seen.m)
          } else resident.apply(entry)
          expect(resident.lastSeq).toBe(entry.seq)
          expect(resident.clocks).toEqual(full.clocks)
          if (ask !== null) expect(resident.slot(keys[ask]!)).toEqual(full.slot(keys[ask]!))
          expect(resident.indefinite().map(each => each.token)).toEqual(full.indefinite().map(each => each.token))
        }
        if (steps.length === 60) expect(waited).toBeGreaterThan(0)
        expect(everything(resident.complete())).toEqual(everything(full))
      }),
      { numRuns: 300 },
    )
  })

  it('forgets what the fold forgets, at the same record', () => {
    const full = new FullState(0, { current: { b, m: 0 }, seen: [b] })
    const resident = new ResidentState(new FullState(0, { current: { b, m: 0 }, seen: [b] }))
    let position = { seq: 0, sum: firstPrev }
    for (let number = 1; number <= 23_000; number++) {
      const resource = `ticket:${Math.ceil(number / 2)}`
      const subject = { opId: `op-${number}`, actor: 'agent:a', resources: [resource], leaseIds: [`L${number}`], holder: holder('a') }
      const terms = { ttlSecs: 60, staleSecs: 60, branch: null, reason: null, binding: null, from: null }
      const ends = { token: number - 1, reason: null, outcome: null, remaining: null }
      const operation: Operation = number % 2 === 1 ? { op: 'acquire', ...subject, ...terms } : { op: 'release', ...subject, ...ends }
      const entry: Entry = { seq: number, at: 1_790_000_000_000 + number, clk: { b, m: number }, operation }
      const { line, sum } = sealEntry(entry, position.sum)
      const seen = glimpse(line.slice(0, -1), position, b)
      position = { seq: number, sum }
      full.apply(entry)
      if (seen !== null && resident.defer(seen)) resident.moveTo(number, seen.m)
      else resident.apply(entry)
    }
    const names = (state: FullState): readonly string[] => [...state.pasts()].map(({ resource }) => resource).toSorted()
    expect(names(resident.complete())).toEqual(names(full))
  })

  it('sees no record in a line that was changed, or that is not the next one', () => {
    const operation: Operation = {
      op: 'acquire',
      opId: 'op-1',
      actor: 'agent:a',
      resources: ['ticket:a'],
      leaseIds: ['L1'],
      holder: holder('a'),
      ttlSecs: 60,
      staleSecs: 60,
      branch: null,
      reason: null,
      binding: null,
      from: null,
    }
    const { line } = sealEntry({ seq: 8, at: 1_790_000_000_000, clk: { b, m: 5 }, operation }, firstPrev)
    const bytes = Buffer.from(line)
    for (let at = 0; at < bytes.length - 1; at++) {
      bytes[at]! ^= 1
      expect(checkedLine(bytes, 0, bytes.length - 1), `byte ${at}`).toBeNull()
      bytes[at]! ^= 1
    }
    const whole = checkedLine(bytes, 0, bytes.length - 1)!
    expect(glimpse(whole, { seq: 7, sum: firstPrev }, b)).not.toBeNull()
    expect(glimpse(whole, { seq: 6, sum: firstPrev }, b)).toBeNull()
    expect(glimpse(whole, { seq: 7, sum: '1'.repeat(16) }, b)).toBeNull()
    expect(glimpse(whole, { seq: 7, sum: firstPrev }, 'another.clock')).toBeNull()
  })
})
