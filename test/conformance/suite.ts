import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { accept } from '../../src/core/decision.ts'
import type { Entry } from '../../src/core/operation.ts'
import type { Store } from '../../src/store/store.ts'
import type { conformance as Published, Opened } from '../../src/testing.ts'
import { Bench, collect } from '../support/bench.ts'
import {
  acquire,
  acquireFirst,
  ann,
  annAgain,
  bob,
  confirm,
  eve,
  evict,
  guard,
  holder,
  on,
  proofOf,
  reclaim,
  release,
  renew,
  reserve,
  resume,
  sweep,
  transfer,
} from '../support/cast.ts'
import type { Evidence } from '../support/invariants.ts'
import { invariants } from '../support/invariants.ts'
import { keys, overlap, plan, play } from '../support/random-history.ts'
import type { Answer as Told, Operation as Done } from '../support/linearizable.ts'
import { checkLinearizable, leaseModel } from '../support/linearizable.ts'

const a = 'ticket:a'
const b = 'ticket:b'
const c = 'ticket:c'
/** The invariant that only holds where positions have no gap. */
const gaplessness = 2
const indefinitely = { ttlSecs: 0, reason: 'long work' }

/** What every store must do; the contract is in `src/store/store.ts`. Published as `leasehold/testing`. */
export const conformance: typeof Published = (name, open, capabilities) => {
  describe(`${name} as a store`, () => {
    let opened: Opened
    let bench: Bench

    beforeEach(async () => {
      opened = await open()
      bench = onto(opened.store)
    })
    afterEach(() => opened.close())

    const onto = (store: Store): Bench => new Bench({ store, witness: opened.witness ?? null })
    const advance = (secs: number): void => opened.advance(secs * 1000)
    const log = (): Promise<readonly Entry[]> => collect(opened.store)
    /** The records that commands wrote; a store may have some of its own. */
    const told = async (): Promise<readonly string[]> =>
      (await log()).flatMap(({ operation }) => ('resources' in operation ? [`${operation.op} ${operation.resources.join('+')}`] : []))

    it('declares what it was said to be able to do', () => {
      expect(opened.store.capabilities).toEqual(capabilities)
      expect(opened.store.location).toMatch(/^[a-z]+:/)
    })

    describe('an empty one', () => {
      it('holds nothing and has no history', async () => {
        const view = await opened.store.view()
        expect([...view.all(), ...view.paths(), ...view.indefinite()]).toEqual([])
        expect([view.lease(a), view.past(a), view.byLeaseId('x'), view.recall('x'), view.reservation(a)]).toEqual([
          null,
          null,
          null,
          null,
          null,
        ])
        expect(await log()).toEqual([])
      })

      it('is still empty after a refusal', async () => {
        expect(await bench.refuses(renew(ann, on(a)))).toMatchObject({ kind: 'not-held' })
        expect(await told()).toEqual([])
      })
    })

    describe('the life of a lease', () => {
      it('from acquire to release, with every token larger than the one before', async () => {
        const first = await bench.does(acquire(ann, a))
        await bench.does(renew(ann, on(a), { type: 'heartbeat', note: 'at work' }))
        const moved = await bench.does(transfer(ann, on(a), bob))
        const resumed = await bench.does(resume(holder('agent:bob', 's-bob-2'), on(a)))
        await bench.does(release(bob, on(a), { presented: proofOf(resumed.lease), outcome: 'abandoned' }))
        const last = await bench.does(acquire(eve, a))
        expect(await told()).toEqual(['acquire', 'heartbeat', 'transfer', 'resume', 'release', 'acquire'].map(op => `${op} ${a}`))
        const tokens = [first, moved, resumed, last].map(({ lease }) => lease.token)
        expect(tokens).toEqual([...new Set(tokens)].sort((x, y) => x - y))
        expect(tokens).toEqual([first, moved, resumed, last].map(({ entries }) => entries[0]!.seq))
        expect((await opened.store.view()).past(a)).toMatchObject({ endedBy: 'release', outcome: 'abandoned', token: resumed.lease.token })
      })

      it('answers with the leases as they are after the command', async () => {
        const { leases, lastSeq, entries } = await bench.does(acquire(ann, [a, b]))
        const view = await opened.store.view()
        expect(leases).toEqual([view.lease(a), view.lease(b)])
        expect(lastSeq).toBe(entries.at(-1)!.seq)
        expect(view.lastSeq).toBe(lastSeq)
        expect(view.byLeaseId(leases[1]!.leaseId)).toEqual(leases[1])
        expect((await bench.does(release(ann, on(b)))).leases).toEqual([])
      })

      it('ends at its deadline only when somebody asks', async () => {
        await bench.does(acquire(ann, a))
        advance(9.999)
        expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held' })
        advance(0.001)
        expect((await bench.lease(a))?.holder.agentId).toBe(ann.agentId)
        expect((await bench.does(acquire(bob, a))).ops).toEqual(['auto-evict', 'acquire'])
      })

      it('goes on by a late renewal, as long as nobody asked', async () => {
        await bench.does(acquire(ann, a))
        advance(500)
        expect(await bench.does(renew(ann, on(a)))).toMatchObject({ outcome: { late: true } })
        expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held' })
      })

      it('ends by a person’s word, and by a reclaim when it is silent for too long', async () => {
        const { lease } = await bench.does(acquire(ann, a, indefinitely))
        advance(21)
        const taken = await bench.does(reclaim(bob, on(a), lease.token))
        expect((await bench.store.view()).indefinite()).toEqual([{ token: taken.lease.token, agentId: bob.agentId, resource: a }])
        await bench.does(evict(ann, on(a)))
        expect(await told()).toEqual([`acquire ${a}`, `reclaim ${a}`, `force-evict ${a}`])
      })

      it('counts singly towards the limits where it is indefinite and one of several', async () => {
        expect(await bench.refuses(acquire(ann, [a, b, c], indefinitely))).toMatchObject({ kind: 'limit', held: [] })
        await bench.does(acquire(ann, [a, b], indefinitely))
        expect(await bench.refuses(acquire(ann, c, indefinitely))).toMatchObject({ kind: 'limit', held: [a, b] })
        await bench.does(release(ann, on(a), { only: true }))
        await bench.does(acquire(ann, c, indefinitely))
        expect(await bench.refuses(acquire(ann, a, indefinitely))).toMatchObject({ kind: 'limit', held: [b, c] })
        await bench.does(release(ann, on(b)))
        await bench.does(acquire(ann, a, indefinitely))
      })

      it('is swept once', async () => {
        await bench.does(acquire(ann, a))
        await bench.does(acquire(ann, b))
        advance(10)
        expect((await bench.does(sweep(bob))).ops).toEqual(['auto-evict', 'auto-evict'])
        expect((await bench.does(sweep(bob))).ops).toEqual([])
        expect([...(await opened.store.view()).all()]).toEqual([])
      })
    })

    describe('several resources', () => {
      it('are one record, taken whole or not at all, and ended together', async () => {
        await bench.does(acquire(bob, 'ticket:c'))
        await bench.refuses(acquire(ann, [a, 'ticket:c']))
        expect(await bench.lease(a)).toBeNull()
        const { entries, leases } = await bench.does(acquire(ann, [a, b]))
        expect(entries).toHaveLength(1)
        expect(leases.map(({ group }) => group?.resources)).toEqual([
          [a, b],
          [a, b],
        ])
        await bench.does(release(ann, on(a), { only: true }))
        expect(await bench.lease(b)).toMatchObject({ group: null, token: leases[1]!.token })
        await bench.does(acquire(ann, [a, 'env:x']))
        await bench.does(evict(bob, on('env:x')))
        expect(await bench.lease(a)).toBeNull()
      })

      it('of paths exclude other holders where they overlap', async () => {
        await bench.does(acquire(ann, 'path:src/**'))
        expect(await bench.refuses(acquire(bob, 'path:src/x'))).toMatchObject({ kind: 'held', lease: { resource: 'path:src/**' } })
        await bench.does(acquire(ann, 'path:src/x'))
        await bench.does(release(ann, on('path:src/**')))
        expect(await bench.refuses(acquire(bob, 'path:src/**'))).toMatchObject({ kind: 'held', lease: { resource: 'path:src/x' } })
        expect([...(await opened.store.view()).paths()].map(({ resource }) => resource)).toEqual(['path:src/x'])
      })
    })

    describe('the first of several candidates', () => {
      const [c, d] = ['ticket:c', 'ticket:d']

      it('is the first that nobody holds, not even the caller', async () => {
        await bench.does(acquire(ann, a))
        expect((await bench.does(acquireFirst(ann, [a, b, c]))).lease).toMatchObject({ resource: b, holder: { agentId: ann.agentId } })
        expect((await bench.does(acquireFirst(bob, [a, b, c]))).lease).toMatchObject({ resource: c, holder: { agentId: bob.agentId } })
        expect(await bench.refuses(acquireFirst(eve, [a, b, c]))).toEqual({ kind: 'none-free', candidates: 3 })
      })

      it('may be one whose lease has expired, which is evicted in the same step', async () => {
        await bench.does(acquire(ann, a, { ttlSecs: 5 }))
        advance(5)
        const { ops, lease } = await bench.does(acquireFirst(bob, [a, b]))
        expect([ops, lease.holder.agentId]).toEqual([['auto-evict', 'acquire'], bob.agentId])
      })

      it('is another for each of 32 who ask at once', async () => {
        const candidates = Array.from({ length: 32 }, (_, n) => `ticket:n${n}`)
        const got = await Promise.all(candidates.map((_, n) => bench.does(acquireFirst(holder(`agent:${n}`), candidates))))
        expect(new Set(got.map(({ lease }) => lease.resource)).size).toBe(32)
      })

      it('is the same one again under the same op_id', async () => {
        const first = await bench.does(acquireFirst(ann, [a, b], { opId: 'once', retry: true }))
        const again = await bench.does(acquireFirst(ann, [b, d], { opId: 'once', retry: true }))
        expect([first.lease.resource, again.outcome.replayOf?.seq]).toEqual([a, first.lease.token])
      })
    })

    describe('finished work', () => {
      const finish = async (outcome: string): Promise<void> => {
        await bench.does(acquire(ann, a, { branch: 'work/a' }))
        await bench.does(release(ann, on(a), { outcome }))
      }

      it.each(['done', 'closed'])('is not given out again once it is %s', async outcome => {
        await finish(outcome)
        const refusal = await bench.refuses(acquire(bob, a))
        expect(refusal).toMatchObject({ kind: 'finished', past: { outcome, branch: 'work/a', holder: { agentId: ann.agentId } } })
        expect(await bench.refuses(acquire(bob, [b, a]))).toMatchObject({ kind: 'finished' })
        expect((await bench.does(acquireFirst(bob, [a, b]))).lease.resource).toBe(b)
      })

      it('can be taken by whoever says that they know, and stays finished unless they say otherwise', async () => {
        await finish('done')
        await bench.does(acquire(bob, a, { finishedToo: true, ttlSecs: 5 }))
        advance(5)
        await bench.does(sweep(eve))
        expect(await bench.refuses(acquire(eve, a))).toMatchObject({
          kind: 'finished',
          past: { outcome: 'done', outcomeBy: ann.agentId, branch: 'work/a' },
        })
      })

      it('is given out again once it was reopened', async () => {
        await finish('closed')
        await bench.does(acquire(bob, a, { finishedToo: true }))
        await bench.does(release(bob, on(a), { outcome: 'reopened' }))
        await bench.does(acquire(eve, a))
      })
    })

    describe('an effect', () => {
      const happened: string[] = []
      const effect = (): void => void happened.push('it')
      beforeEach(() => void happened.splice(0))

      it('happens only while the lease is the caller’s', async () => {
        const { lease } = await bench.does(acquire(ann, a))
        expect((await bench.does(guard(ann, on(a)), { effect })).ops).toEqual([])
        expect(await bench.refuses(guard(bob, on(a)), { effect })).toMatchObject({ kind: 'not-owner' })
        await bench.does(evict(eve, on(a)))
        await bench.does(acquire(bob, a))
        expect(await bench.refuses(guard(ann, on(a), { presented: proofOf(lease) }), { effect })).toMatchObject({ kind: 'superseded' })
        expect(happened).toEqual(['it'])
      })

      it('renews a lease whose time is over, when nobody has taken it', async () => {
        await bench.does(acquire(ann, a, { ttlSecs: 5 }))
        advance(6)
        const { ops, outcome } = await bench.does(guard(ann, on(a)), { effect })
        expect([ops, outcome.late, happened]).toEqual([['renew'], true, ['it']])
      })

      it('that fails leaves no record, and others go on', async () => {
        await bench.does(acquire(ann, a))
        const broken = bench.run(release(ann, on(a)), {
          effect: () => {
            throw new Error('the file was changed by an editor')
          },
        })
        const others = [bench.does(acquire(bob, b)), bench.does(guard(ann, on(a)), { effect })]
        await expect(broken).rejects.toThrow('changed by an editor')
        await Promise.all(others)
        expect([await told(), happened]).toEqual([['acquire ticket:a', 'acquire ticket:b'], ['it']])
      })

      it('is over before anybody else decides', async () => {
        await bench.does(acquire(ann, a))
        const seen: string[] = []
        const releasing = bench.does(release(ann, on(a)), { effect: () => void seen.push('effect') })
        const next = opened.store.transact(view => {
          seen.push(view.lease(a) === null ? 'free' : 'held')
          return {
            ok: true,
            operations: [],
            outcome: { resources: [], ended: [], endedSessions: [], alreadyHeld: false, late: false, replayOf: null },
          }
        })
        await Promise.all([releasing, next])
        // It may be asked more than once, and never before.
        expect([...new Set(seen)]).toEqual(['effect', 'free'])
      })
    })

    describe('an op_id', () => {
      /** Remembered for a command: what only looks need not be told. */
      const recalled = async (opId: string): Promise<Entry | null> => {
        let found: Entry | null = null
        await opened.store.transact(view => {
          found = view.recall(opId)
          return accept([], { resources: [] })
        })
        return found
      }
      const again = { opId: 'op-1', retry: true }

      it('gives the first answer again, and happens once', async () => {
        const first = await bench.does(acquire(ann, a, again))
        const repeated = await bench.does(acquire(ann, a, again))
        expect(repeated).toMatchObject({ entries: [], leases: first.leases, outcome: { replayOf: first.entries[0] } })
        expect(await recalled('op-1')).toEqual(first.entries[0])
      })

      it('is not confused with another that looks like it, or with words that do', async () => {
        await bench.does(acquire(ann, a, { opId: 'op-1x', retry: true, reason: '"op_id":"op-1"' }))
        expect(await bench.does(acquire(ann, b, again))).toMatchObject({ outcome: { replayOf: null } })
        const odd = { opId: '"\\*$^ {"op_id":"x"}', retry: true }
        await bench.does(acquire(eve, 'env:odd', odd))
        expect((await bench.does(acquire(eve, 'env:odd', odd))).entries).toEqual([])
      })

      it('of another command is refused', async () => {
        await bench.does(acquire(ann, a, again))
        expect(await bench.refuses(acquire(ann, b, again))).toMatchObject({ kind: 'op-id-reused' })
      })

      it('in the same breath happens once', async () => {
        const commits = await Promise.all(Array.from({ length: 8 }, () => bench.run(acquire(ann, a, again))))
        expect(commits.every(({ decision }) => decision.ok)).toBe(true)
        expect(commits.flatMap(({ entries }) => entries)).toHaveLength(1)
      })
    })

    describe('its history', () => {
      it('is in order, without gaps, and nothing in it ever changes', async () => {
        const before: Entry[] = []
        for (const command of [
          acquire(ann, a),
          renew(ann, on(a), { note: 'at work' }),
          acquire(bob, [b, 'env:x']),
          release(ann, on(a)),
          release(bob, on(b), { only: true }),
        ]) {
          await bench.does(command)
          const now = await log()
          expect(now.slice(0, before.length)).toEqual(before)
          const positions = now.map(({ seq }) => seq)
          expect(positions).toEqual(capabilities.gapless ? now.map((_, index) => now[0]!.seq + index) : positions.toSorted((x, y) => x - y))
          expect(now).toHaveLength(before.length + 1)
          before.splice(0, before.length, ...now)
        }
      })

      it('can be narrowed to a resource, a time and a position', async () => {
        const first = await bench.does(acquire(ann, a))
        advance(5)
        const second = await bench.does(acquire(bob, [b, 'env:x']))
        const third = await bench.does(renew(ann, on(a), { note: 'at work' }))
        const positions = async (query: Parameters<Store['history']>[0]): Promise<readonly number[]> => {
          const found: number[] = []
          for await (const { seq } of opened.store.history(query)) found.push(seq)
          return found
        }
        const [one, two, three] = [first.lastSeq, second.lastSeq, third.lastSeq]
        expect(await positions({ resource: a })).toEqual([one, three])
        expect(await positions({ resource: 'env:x' })).toEqual([two])
        expect(await positions({ resource: 'ticket:none' })).toEqual([])
        expect(await positions({ afterSeq: one })).toEqual([two, three])
        expect(await positions({ sinceMs: second.entries[0]!.at })).toEqual([two, three])
        expect(await positions({ resource: a, afterSeq: one })).toEqual([three])
      })

      it('keeps every word it was given', async () => {
        const words = 'quote " backslash \\ newline \n tab \t null \u0000 emoji 🚀 line \u2028 pair \ud83d\ude80 </script>'
        const { entries } = await bench.does(
          acquire(holder(words, words, words), 'env:ü 🚀', { reason: words, branch: words, opId: words }),
        )
        expect((await log()).at(-1)).toEqual(entries[0])
        expect(await bench.lease('env:ü 🚀')).toMatchObject({ reason: words, branch: words, holder: { sessionId: words } })
      })
    })

    describe('waiting for a change', () => {
      it('ends at once when it has happened already', async () => {
        const { lastSeq } = await bench.does(acquire(ann, a))
        const before = performance.now()
        await opened.store.changed(lastSeq - 1, 10_000)
        expect(performance.now() - before).toBeLessThan(5000)
      })

      it('ends when something is written', async () => {
        const { lastSeq } = await bench.does(acquire(ann, a))
        const before = performance.now()
        const waiting = opened.store.changed(lastSeq, 10_000)
        await bench.does(release(ann, on(a)))
        await waiting
        expect(performance.now() - before).toBeLessThan(5000)
      })

      it('ends when its time is over', async () => {
        const { lastSeq } = await bench.does(acquire(ann, a))
        await opened.store.changed(lastSeq, 30)
      })
    })

    describe('reading', () => {
      it('never writes, not even the eviction it sees coming', async () => {
        await bench.does(acquire(ann, a))
        advance(100)
        const before = await log()
        for (let i = 0; i < 200; i++) {
          const view = await opened.store.view()
          expect(view.lease(a)).not.toBeNull()
          for (const lease of view.all()) view.lapse(lease)
        }
        expect(await log()).toEqual(before)
      })

      it('in 200 sweeps beside acquirers, one expired lease is evicted exactly once', async () => {
        await bench.does(acquire(ann, a))
        advance(10)
        const commands = Array.from({ length: 200 }, (_, index) => (index % 4 === 3 ? acquire(holder(`agent:${index}`), a) : sweep(bob)))
        const commits = await Promise.all(commands.map(command => bench.run(command)))
        const made = commits.flatMap(({ entries }) => entries).toSorted((x, y) => x.seq - y.seq)
        expect(made.map(({ operation }) => operation.op)).toEqual(['auto-evict', 'acquire'])
        expect(await told()).toEqual([`acquire ${a}`, `auto-evict ${a}`, `acquire ${a}`])
      })
    })

    describe('many at once', () => {
      it('of 64 acquirers of one key exactly one wins, and the others are told who', async () => {
        const commits = await Promise.all(Array.from({ length: 64 }, (_, index) => bench.run(acquire(holder(`agent:${index}`), a))))
        const won = commits.filter(({ decision }) => decision.ok)
        expect(won).toHaveLength(1)
        const winner = won[0]!.leases[0]!
        for (const { decision } of commits)
          if (!decision.ok) expect(decision.refusal).toMatchObject({ kind: 'held', lease: { token: winner.token } })
        expect(await told()).toEqual([`acquire ${a}`])
      })

      it('64 acquirers of their own keys all win, each with a token of its own', async () => {
        const commits = await Promise.all(
          Array.from({ length: 64 }, (_, index) => bench.does(acquire(holder(`agent:${index}`), `ticket:t${index}`))),
        )
        const tokens = commits.map(({ lease }) => lease.token)
        expect(new Set(tokens).size).toBe(64)
        for (const { lease, entries } of commits) expect(lease.token).toBe(entries[0]!.seq)
        await judge()
      })

      it('overlapping paths and groups taken at the same time never share a file', async () => {
        const wishes = Array.from({ length: 48 }, (_, index) => [keys[index % keys.length]!, keys[(index * 3 + 1) % keys.length]!])
        const people = [ann, annAgain, bob, eve]
        await Promise.all(wishes.map((wanted, index) => bench.run(acquire(people[index % 4]!, [...new Set(wanted)]))))
        await judge()
      })

      it('indefinite leases never exceed the limits', async () => {
        const commits = await Promise.all(
          Array.from({ length: 24 }, (_, index) => bench.run(acquire(holder(`agent:${index % 3}`), `env:e${index}`, indefinitely))),
        )
        expect(commits.filter(({ decision }) => decision.ok)).toHaveLength(3)
        expect((await opened.store.view()).indefinite()).toHaveLength(3)
      })

      it('give answers that some order of them explains', async () => {
        const done: Done[] = []
        let tick = 0
        /** One client: random commands, each noted with when it was asked and answered. */
        const work = async (client: number, at: Bench): Promise<void> => {
          const who = holder(`agent:${client}`)
          for (let round = 0; round < 30; round++) {
            const f = (['acquire', 'renew', 'release', 'acquire', 'read'] as const)[(client * 7 + round * 3 + ((round * client) % 5)) % 5]!
            const call = ++tick
            const out = await ask(f, who, at)
            done.push({ f, holder: who.agentId, call, ret: ++tick, out, ttl: 0 })
          }
        }
        const ask = async (f: Done['f'], who: typeof ann, at: Bench): Promise<Told> => {
          if (f === 'read') return { ok: true, by: (await at.lease(a))?.holder.agentId ?? null }
          const { decision, leases } = await at.run(
            f === 'acquire' ? acquire(who, a) : f === 'renew' ? renew(who, on(a)) : release(who, on(a)),
          )
          if (f === 'release' && decision.ok) return { ok: true, again: decision.operations.length === 0 }
          if (!decision.ok) return { ok: false, ...('lease' in decision.refusal ? { by: decision.refusal.lease!.holder.agentId } : {}) }
          return f === 'acquire' ? { ok: true, token: leases[0]!.token, again: decision.outcome.alreadyHeld } : { ok: true }
        }
        const other = capabilities.shared ? await opened.again!() : null
        try {
          await Promise.all(
            Array.from({ length: 8 }, (_, client) => work(client, other !== null && client % 2 === 1 ? onto(other) : bench)),
          )
        } finally {
          other?.close()
        }
        // A holder that repeats its own release is told that it is done: to the model that is a release of nothing.
        const explained = done.filter(({ f, out }) => !(f === 'release' && out?.ok === true && out.again === true))
        expect(checkLinearizable(leaseModel, explained)).toMatchObject({ ok: true })
        await judge()
      })

      it('a command that fails leaves nothing, and the others go on', async () => {
        const broken = opened.store.transact(() => {
          throw new Error('the rules broke')
        })
        const [failed, ok] = await Promise.allSettled([broken, bench.does(acquire(ann, a))])
        expect(failed).toMatchObject({ status: 'rejected', reason: { message: 'the rules broke' } })
        expect(ok.status).toBe('fulfilled')
        expect(await told()).toEqual([`acquire ${a}`])
      })

      /** The invariants that the log and the state alone can answer for. */
      async function judge(): Promise<void> {
        const entries = await log()
        const view = await opened.store.view()
        const pasts = keys.map(key => view.past(key)).filter(past => past !== null)
        const evidence: Evidence = { entries, leases: [...view.all()], pasts, steps: [], sums: [], guardMs: 0, final: true, overlap }
        for (const { number, says, broken } of invariants)
          if (number !== gaplessness || capabilities.gapless) expect(broken(evidence), `invariant ${number}: ${says}`).toBeNull()
      }
    })

    if (capabilities.binding)
      describe('a lease bound to a process', () => {
        it('ends when the process does', async () => {
          const { live, lease } = await bench.does(acquire(ann, a, { ttlSecs: 1000 }), { bind: true })
          expect(lease.binding?.live).toBe(live!.live)
          expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held' })
          expect((await opened.store.view()).boundDead(lease)).toBe(false)
          live!.close()
          expect((await opened.store.view()).boundDead(lease)).toBe(true)
          expect((await bench.does(acquire(bob, a))).entries).toMatchObject([
            { operation: { op: 'auto-evict', reason: 'holder-dead' } },
            {},
          ])
        })

        it('gets its liveness lock only when it is granted', async () => {
          await bench.does(acquire(ann, a))
          expect((await bench.run(acquire(bob, a), { bind: true })).live).toBeNull()
          expect((await bench.run(acquire(ann, a), { bind: true })).live).toBeNull()
          const [one, two] = await Promise.all([
            bench.run(acquire(ann, b), { bind: true }),
            bench.run(acquire(bob, 'env:x'), { bind: true }),
          ])
          expect(one.live!.live).not.toBe(two.live!.live)
          one.live!.close()
          expect((await bench.does(sweep(eve))).entries).toMatchObject([{ operation: { resources: [b] } }])
          two.live!.close()
        })

        it('drops the lock with the record that ends it, and keeps it when that is refused', async () => {
          const { live, lease } = await bench.does(acquire(ann, a), { bind: true })
          const stale = { leaseId: null, token: lease.token - 1 }
          await bench.refuses(release(ann, on(a), { presented: stale }), { unbind: live! })
          expect((await opened.store.view()).boundDead(lease)).toBe(false)
          expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held' })
          await bench.does(release(ann, on(a)), { unbind: live! })
          expect((await bench.does(acquire(bob, a))).ops).toEqual(['acquire'])
        })
      })

    if (capabilities.reservation === 'record')
      describe('a reservation', () => {
        it('is a record that lapses, and is confirmed with its token', async () => {
          const { lease } = await bench.does(reserve(ann, a, { ttlSecs: 5 }))
          expect(await bench.refuses(acquire(bob, a))).toMatchObject({ kind: 'held', lease: { state: 'pending' } })
          const confirmed = await bench.does(confirm(bob, on(a), lease.token))
          expect(confirmed.lease).toMatchObject({ state: 'held', holder: { agentId: bob.agentId } })
          await bench.does(reserve(ann, b, { ttlSecs: 5 }))
          advance(5)
          expect((await bench.does(acquire(bob, b))).entries).toMatchObject([{ operation: { reason: 'reservation-lapsed' } }, {}])
        })
      })

    if (capabilities.shared)
      describe('another handle on the same place', () => {
        it('sees the same leases, and the same history', async () => {
          const { lease } = await bench.does(acquire(ann, a))
          const other = await opened.again!()
          try {
            expect((await other.view()).lease(a)).toEqual(lease)
            expect(await collect(other)).toEqual(await log())
            const there = onto(other)
            expect(await there.refuses(acquire(bob, a))).toMatchObject({ kind: 'held' })
            await there.does(acquire(bob, b))
            expect(await bench.lease(b)).toMatchObject({ holder: { agentId: bob.agentId } })
          } finally {
            other.close()
          }
        })

        it('and this one let exactly one of 32 win, and see each other’s change', async () => {
          const other = await opened.again!()
          try {
            const there = onto(other)
            const waiting = other.changed((await other.view()).lastSeq, 10_000)
            const commits = await Promise.all(
              Array.from({ length: 32 }, (_, index) => (index % 2 === 0 ? bench : there).run(acquire(holder(`agent:${index}`), a))),
            )
            expect(commits.filter(({ decision }) => decision.ok)).toHaveLength(1)
            await waiting
          } finally {
            other.close()
          }
        })
      })

    it('answers 200 random histories exactly as the reference does', async () => {
      const plans = fc.sample(plan(25), { numRuns: 200, seed: 20_260_802 })
      for (const [index, steps] of plans.entries()) {
        const staging = {
          check: 'nothing',
          withoutReservations: capabilities.reservation !== 'record',
          withoutBinding: !capabilities.binding,
          beats: capabilities.beats,
        } as const
        const stage = await open()
        try {
          const lines = await play(steps, { ...staging, on: stage })
          expect(lines, `history ${index}`).toEqual(await play(steps, staging))
        } finally {
          await stage.close()
        }
      }
    })
  })
}
