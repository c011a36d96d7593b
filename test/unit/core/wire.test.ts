import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Holder, Lease, Past, Witness } from '../../../src/core/lease.ts'
import type { BeatOperation, Entry, Operation, OperationName } from '../../../src/core/operation.ts'
import type { Session } from '../../../src/core/session.ts'
import { endedBy, isOwnership, schemaVersion, touches } from '../../../src/core/operation.ts'
import { isoFromMs } from '../../../src/core/time.ts'
import {
  entryFromWire,
  entryToWire,
  leaseFromStored,
  leaseToStored,
  leaseToWire,
  pastFromStored,
  pastToStored,
} from '../../../src/core/wire.ts'

const text = fc.string({ unit: 'binary', maxLength: 12 })
const maybe = <T>(of: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(of, { nil: null })
const seq = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const secs = fc.nat(2_592_000)

const witness: fc.Arbitrary<Witness> = fc.record({
  host: text,
  bootId: text,
  pidNs: text,
  timeNs: text,
  pid: fc.nat(),
  pidStartTicks: fc.nat(),
})
const holder: fc.Arbitrary<Holder> = fc.record({ agentId: text, worktreeId: text, sessionId: maybe(text), witness: maybe(witness) })
const binding = fc.record({ live: text })

/** One name is written as a word and several as lists: both must come back. */
const subject = fc.integer({ min: 1, max: 4 }).chain(count =>
  fc.record({
    resources: fc.array(text, { minLength: count, maxLength: count }),
    leaseIds: fc.array(text, { minLength: count, maxLength: count }),
  }),
)
const ids = fc.array(text, { maxLength: 2 })
const when = fc.nat(4_102_444_800_000)
const session: fc.Arbitrary<Session> = fc.record({
  sessionId: text,
  name: text,
  role: text,
  origin: fc.constantFrom('ticket-claim', 'pre-ticket-intake', 'role-launch'),
  profile: text,
  agentId: text,
  worktreeId: text,
  cwd: text,
  witness: maybe(witness),
  binding: maybe(binding),
  clientSessionIds: ids,
  relatedTickets: ids,
  peers: ids,
  evidence: fc.record({ kind: text, seen: text, confirmed: fc.boolean(), at: when }),
  resume: maybe(fc.record({ command: ids, stored: maybe(text) })),
  launchedBy: text,
  startedAt: when,
  state: fc.constantFrom('live', 'restorable', 'ended'),
  endedAt: maybe(when),
  endReason: maybe(text),
  exitCode: maybe(fc.nat()),
})
const signed = { actor: text, opId: maybe(text) }

const operations = {
  ownership: (op: 'acquire' | 'reserve' | 'confirm' | 'transfer' | 'resume' | 'reclaim'): fc.Arbitrary<Operation> =>
    fc
      .tuple(
        subject,
        fc.record({
          op: fc.constant(op),
          ...signed,
          holder,
          ttlSecs: secs,
          staleSecs: secs,
          branch: maybe(text),
          reason: maybe(text),
          binding: maybe(binding),
          from: maybe(fc.record({ holder, token: seq, leaseIds: fc.array(text, { minLength: 1, maxLength: 3 }) })),
        }),
      )
      .map(([about, rest]) => ({ ...about, ...rest })),
  beat: (op: 'renew' | 'heartbeat'): fc.Arbitrary<Operation> =>
    fc
      .tuple(
        subject,
        fc.record({ op: fc.constant(op), ...signed, token: seq, holder, ttlSecs: secs, late: fc.boolean(), note: maybe(text) }),
      )
      .map(([about, rest]) => ({ ...about, ...rest })),
  release: fc
    .tuple(
      subject,
      fc.record({
        op: fc.constant('release' as const),
        ...signed,
        token: seq,
        holder,
        reason: maybe(text),
        outcome: maybe(text),
        remaining: maybe(fc.array(text, { minLength: 1, maxLength: 3 })),
      }),
    )
    .map(([about, rest]): Operation => ({ ...about, ...rest })),
  eviction: (op: 'auto-evict' | 'force-evict'): fc.Arbitrary<Operation> =>
    fc
      .tuple(subject, fc.record({ op: fc.constant(op), ...signed, previousHolder: holder, previousToken: seq, reason: text }))
      .map(([about, rest]) => ({ ...about, ...rest })),
  allow: fc
    .tuple(subject, fc.record({ op: fc.constant('allow' as const), ...signed, token: seq, reason: text }))
    .map(([about, rest]): Operation => ({ ...about, ...rest })),
  session: fc.record({
    op: fc.constant('session' as const),
    ...signed,
    sessions: fc.array(session, { minLength: 1, maxLength: 2 }),
  }) as fc.Arbitrary<Operation>,
  boot: fc.record({
    op: fc.constant('boot' as const),
    ...signed,
    previous: fc.record({ b: text, m: fc.nat() }),
    graceMs: fc.nat(),
    twoClocks: fc.boolean(),
  }) as fc.Arbitrary<Operation>,
  repair: fc.record({
    op: fc.constant('repair' as const),
    ...signed,
    reason: text,
    cutBytes: fc.nat(),
    cutLines: fc.nat(),
    quarantine: maybe(text),
    lastGoodSeq: fc.nat(),
  }) as fc.Arbitrary<Operation>,
}

/** Every operation there is: a new one is a type error here until it is listed. */
const every: Record<OperationName, fc.Arbitrary<Operation>> = {
  acquire: operations.ownership('acquire'),
  reserve: operations.ownership('reserve'),
  confirm: operations.ownership('confirm'),
  transfer: operations.ownership('transfer'),
  resume: operations.ownership('resume'),
  reclaim: operations.ownership('reclaim'),
  renew: operations.beat('renew'),
  heartbeat: operations.beat('heartbeat'),
  release: operations.release,
  'auto-evict': operations.eviction('auto-evict'),
  'force-evict': operations.eviction('force-evict'),
  allow: operations.allow,
  session: operations.session,
  boot: operations.boot,
  repair: operations.repair,
}

const entryOf = (operation: fc.Arbitrary<Operation>): fc.Arbitrary<Entry> =>
  fc.record({ seq, at: fc.nat(4_102_444_800_000), clk: fc.record({ b: text, m: fc.nat() }), operation })

describe('a record comes back as it was written', () => {
  it.each(Object.keys(every) as OperationName[])('%s', op => {
    fc.assert(
      fc.property(entryOf(every[op]), entry => {
        const line = JSON.stringify(entryToWire(entry))
        expect(line).not.toContain('\n')
        expect(entryFromWire(JSON.parse(line))).toEqual(entry)
        expect(JSON.stringify(entryToWire(entryFromWire(JSON.parse(line))!))).toBe(line)
      }),
      { numRuns: 60 },
    )
  })
})

describe('a record on the wire', () => {
  const sample = (op: OperationName): Entry => fc.sample(entryOf(every[op]), { numRuns: 1, seed: 7 })[0]!

  it.each(Object.keys(every) as OperationName[])('%s begins with its version, position, time and name, in snake_case', op => {
    const wire = entryToWire(sample(op))
    expect(Object.keys(wire).slice(0, 7)).toEqual(['schema_version', 'seq', 'at', 'clk', 'op', 'op_id', 'actor'])
    expect(wire).toMatchObject({ schema_version: schemaVersion, op, seq: sample(op).seq, at: isoFromMs(sample(op).at) })
    for (const key of Object.keys(wire)) expect(key).toMatch(/^[a-z_]+$/)
  })

  it('shows the token that an ownership record made', () => {
    const { seq: position, ...rest } = sample('transfer')
    expect(entryToWire({ seq: position, ...rest })['token']).toBe(position)
  })

  it('names one resource as a word and several as lists with their group', () => {
    const beat = sample('renew').operation as BeatOperation
    const write = (resources: readonly string[], leaseIds: readonly string[]): unknown =>
      entryToWire({ ...sample('renew'), operation: { ...beat, resources, leaseIds } })
    expect(write(['ticket:a'], ['L1'])).toMatchObject({ resource: 'ticket:a', lease_id: 'L1' })
    expect(write(['ticket:a'], ['L1'])).not.toHaveProperty('resources')
    expect(write(['ticket:a', 'ticket:b'], ['L1', 'L2'])).toMatchObject({
      resources: ['ticket:a', 'ticket:b'],
      lease_ids: ['L1', 'L2'],
      group: 'L1',
    })
  })

  it('of a newer version or an unknown operation is not guessed at', () => {
    const wire = entryToWire(sample('acquire'))
    expect(entryFromWire({ ...wire, schema_version: schemaVersion + 1 })).toBeNull()
    expect(entryFromWire({ ...wire, op: 'lend' })).toBeNull()
    expect(entryFromWire({ ...wire, op: 'constructor' })).toBeNull()
  })

  it('is sorted into what it changes and what it ends', () => {
    for (const op of Object.keys(every) as OperationName[]) {
      const { operation } = sample(op)
      const touched = touches(operation)
      if (op === 'boot') expect(touched).toBeNull()
      else if (op === 'repair' || op === 'allow') expect(touched).toEqual([])
      else expect(touched).toEqual(expect.arrayContaining([...('resources' in operation ? operation.resources : [])]))
      expect(isOwnership(operation)).toBe('from' in operation)
    }
    expect((Object.keys(every) as OperationName[]).filter(op => endedBy(sample(op).operation) !== null).sort()).toEqual([
      'auto-evict',
      'confirm',
      'force-evict',
      'reclaim',
      'release',
      'transfer',
    ])
  })
})

const lease: fc.Arbitrary<Lease> = fc.record({
  leaseId: text,
  resource: text,
  state: fc.constantFrom('held', 'pending'),
  holder,
  token: seq,
  ttlSecs: secs,
  staleSecs: secs,
  acquiredAt: fc.nat(),
  lastBeatAt: fc.nat(),
  beat: fc.record({ b: text, m: fc.integer() }),
  deadlineM: maybe(fc.integer()),
  branch: maybe(text),
  reason: maybe(text),
  note: maybe(text),
  binding: maybe(binding),
  group: maybe(fc.record({ id: text, resources: fc.array(text, { minLength: 2, maxLength: 4 }) })),
})

const past: fc.Arbitrary<Past> = fc.record({
  resource: text,
  token: seq,
  leaseId: text,
  holder,
  endedBy: fc.constantFrom('release', 'transfer', 'reclaim', 'confirm', 'auto-evict', 'force-evict'),
  reason: maybe(text),
  outcome: maybe(text),
  outcomeBy: maybe(text),
  branch: maybe(text),
  endedAt: fc.nat(),
  endedSeq: seq,
})

describe('stored state comes back as it was written', () => {
  it('a lease', () =>
    fc.assert(
      fc.property(lease, each => {
        expect(leaseFromStored(JSON.parse(JSON.stringify(leaseToStored(each))))).toEqual(each)
      }),
    ))

  it('a past', () =>
    fc.assert(
      fc.property(past, each => {
        expect(pastFromStored(JSON.parse(JSON.stringify(pastToStored(each))))).toEqual(each)
      }),
    ))

  it('of a lease names the liveness lock and nothing of its handle', () => {
    const [each] = fc.sample(lease, 1)
    const handle = { live: 'l', fd: 7, close: () => undefined }
    expect(JSON.parse(JSON.stringify(leaseToStored({ ...each!, binding: handle })))).toMatchObject({ binding: { live: 'l' } })
    expect(JSON.stringify(leaseToStored({ ...each!, binding: handle }))).not.toContain('"fd"')
  })
})

describe('a lease as it is shown', () => {
  const [sample] = fc.sample(lease, { numRuns: 1, seed: 3 }) as [Lease]
  const now = { b: 'b', m: 10_000, wall: 1_760_000_000_000 }

  it('says when it ends on the wall clock of whoever looks, and how long that is', () => {
    expect(leaseToWire({ ...sample, deadlineM: 12_500 }, now, 'live')).toMatchObject({
      remaining_secs: 2.5,
      expires_at: isoFromMs(now.wall + 2500),
      standing: 'live',
    })
    expect(leaseToWire({ ...sample, deadlineM: 9000 }, now, 'expired')).toMatchObject({
      remaining_secs: -1,
      expires_at: isoFromMs(now.wall - 1000),
    })
  })

  it('has no end when it is indefinite', () => {
    expect(leaseToWire({ ...sample, deadlineM: null }, now, 'live')).toMatchObject({ remaining_secs: null, expires_at: null })
  })
})
