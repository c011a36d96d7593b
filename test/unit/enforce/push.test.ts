import { beforeEach, describe, expect, it } from 'vitest'
import { Chronicler } from '../../../src/service/enforce/ownership.ts'
import { judgePush, wordLost, type PushedTrio, type PushVerdict } from '../../../src/service/enforce/push.ts'
import type { Lease } from '../../../src/core/lease.ts'
import { Bench } from '../../support/bench.ts'
import { acquire, ann, annAgain, bob, eve, evict, holder, on, reclaim, release, resume, sweep, transfer } from '../../support/cast.ts'

// What is lost work and what is not, with the real rules behind the records.

const fix = 'ticket:fix'
let bench: Bench

beforeEach(() => {
  bench = new Bench()
})

const takes = async (who = ann, resource = fix): Promise<Lease> => (await bench.does(acquire(who, resource))).lease
const trioOf = ({ leaseId, token, resource }: Lease, commit = 'c'.repeat(40)): PushedTrio => ({
  ticket: resource.slice(7),
  leaseId,
  token,
  commit,
})

async function judged(pushed: readonly PushedTrio[], carried = pushed): Promise<PushVerdict> {
  const log = new Chronicler(new Set([fix, 'ticket:other']))
  for (const entry of await bench.log()) log.take(entry)
  return judgePush(pushed, carried, log)
}

const verdict = async (pushed: readonly PushedTrio[], carried = pushed): Promise<string> => {
  const { lost, unknown, allowed } = await judged(pushed, carried)
  return [lost.length > 0 ? 'lost' : '', unknown.length > 0 ? 'unknown' : '', allowed.length > 0 ? 'allowed' : ''].join('') || 'passes'
}

describe('work of a lease that ended', () => {
  const endings = {
    'by force-evict': async () => void (await bench.does(evict(eve, on(fix), { reason: 'gone' }))),
    'by auto-evict': async () => {
      bench.advance(11)
      await bench.does(sweep(eve))
    },
    'by its own release': async () => void (await bench.does(release(ann, on(fix)))),
  }
  const afterwards = {
    'nobody took it up': async () => undefined,
    'another holds it': async () => void (await takes(bob)),
    'another had it and gave it back': async () => {
      await takes(bob)
      await bench.does(release(bob, on(fix)))
    },
    'another finished it': async () => {
      await takes(bob)
      await bench.does(release(bob, on(fix), { outcome: 'done' }))
    },
    'its own agent took it again': async () => void (await takes(annAgain)),
    'its agent took it in another worktree': async () => void (await takes(holder('agent:ann', null, 'wt:00000002'))),
  }
  const lost = ['another holds it', 'another finished it', 'its agent took it in another worktree']

  for (const [how, end] of Object.entries(endings))
    for (const [then, next] of Object.entries(afterwards)) {
      const expected = how !== 'by its own release' && lost.includes(then) ? 'lost' : 'passes'
      it(`${how}, and then ${then}: ${expected}`, async () => {
        const lease = await takes()
        expect(await verdict([trioOf(lease)])).toBe('passes')
        await end()
        await next()
        expect(await verdict([trioOf(lease)])).toBe(expected)
      })
    }

  it('by transfer or reclaim is lost; one that goes on in another session is not', async () => {
    const lease = await takes()
    await bench.does(transfer(ann, on(fix), bob))
    expect(await verdict([trioOf(lease)])).toBe('lost')
    const long = (await bench.does(acquire(ann, 'ticket:other', { ttlSecs: 0, reason: 'long' }))).lease
    bench.advance(1)
    const { lease: resumed } = await bench.does(resume(annAgain, on('ticket:other')))
    expect(resumed.leaseId).toBe(long.leaseId)
    expect(await verdict([trioOf(long)])).toBe('passes')
    bench.advance(30)
    await bench.does(reclaim(bob, on('ticket:other'), resumed.token))
    expect(await verdict([trioOf(long)])).toBe('lost')
    expect(await verdict([trioOf(resumed)])).toBe('lost')
  })
})

describe('a push', () => {
  it('that carries the later ownership passes, wherever in it that is', async () => {
    const hers = await takes()
    await bench.does(evict(eve, on(fix), { reason: 'gone' }))
    const his = await takes(bob)
    expect(await verdict([trioOf(hers)])).toBe('lost')
    expect(await verdict([trioOf(hers), trioOf(his)])).toBe('passes')
    expect(await verdict([trioOf(hers)], [trioOf(hers), trioOf(his)])).toBe('passes')
  })

  it('is judged by the newest trailers of a ticket, and a made-up token does not stand before a real one', async () => {
    const old = await takes()
    await bench.does(evict(eve, on(fix), { reason: 'gone' }))
    await takes(bob)
    await bench.does(release(bob, on(fix), { outcome: 'abandoned' }))
    const again = await takes()
    expect(await verdict([trioOf(old)])).toBe('lost')
    expect(await verdict([trioOf(old), trioOf(again)])).toBe('passes')
    const invented = { ...trioOf(old), leaseId: '01M7YW8NB7000000F2EV1M0MSE', token: 999 }
    expect(await verdict([trioOf(old), invented])).toBe('lost')
    expect(await verdict([invented])).toBe('unknown')
    expect(await verdict([{ ...trioOf(old), ticket: 'nobody-knows' }])).toBe('unknown')
  })

  it('passes by somebody’s word, for that token only', async () => {
    const lease = await takes()
    await bench.does(evict(eve, on(fix), { reason: 'gone' }))
    const his = await takes(bob)
    const allow = (token: number, leaseId: string) =>
      bench.does({
        type: 'allow',
        holder: eve,
        opId: `allow-${token}`,
        retry: false,
        resource: fix,
        token,
        leaseId,
        reason: 'looked at it',
      })
    await allow(his.token, his.leaseId)
    expect(await verdict([trioOf(lease)])).toBe('lost')
    await allow(lease.token, lease.leaseId)
    expect(await verdict([trioOf(lease)])).toBe('allowed')
  })

  it('says what was lost, to whom, and what to do', async () => {
    const lease = await takes()
    await bench.does(evict(eve, on(fix), { reason: 'gone' }))
    await takes(bob)
    const { lost } = await judged([trioOf(lease, 'a'.repeat(40)), trioOf(lease, 'b'.repeat(40))])
    const { message, hint } = wordLost(lost[0]!, lost[0]!.ended.endedAt! + 60_000)
    expect(message).toBe(
      '2 commits (aaaaaaaaaa …) were made for ticket fix with token 1, which ended by force-evict (gone) 60 s ago; agent:bob (wt:00000001) holds it now with token 3',
    )
    expect(hint).toMatch(/lh claim allow fix --token 1 --reason/)
  })

  it('of a hundred thousand commits takes no time that grows with its square', async () => {
    const lease = await takes()
    const many = Array.from({ length: 100_000 }, (_, at) => trioOf(lease, String(at).padStart(40, '0')))
    expect(await verdict(many)).toBe('passes')
  })
})
