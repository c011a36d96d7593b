import { spawnSync } from 'node:child_process'
import { describe, expect } from 'vitest'
import { type Agent, failure, repository, success, until } from '../support/cli.ts'
import { requires } from '../support/skip.ts'

// The wall clock jumps while a lease is held. `faketime` shifts it for one process, so the holder lives in one time and the others in
// another; FAKETIME_DONT_FAKE_MONOTONIC leaves alone the clock that judges.

const needsFaketime = requires(spawnSync('faketime', ['--version']).status === 0, 'needs the program faketime')

/** What an agent says at another wall time. */
const at = (agent: Agent, shift: string, words: string) =>
  agent.with({ FAKETIME_DONT_FAKE_MONOTONIC: '1' }).startWith(['faketime', '-f', shift], `--json ${words}`).ended

describe('the wall clock', () => {
  for (const shift of ['+1h', '-1h', '+1d', '-1d']) {
    needsFaketime.it(`${shift} while a lease is held: it does not end early, and it does not live for ever`, async () => {
      const repo = repository()
      const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
      await a.acquire('long --ttl 10m')
      failure(await at(b, shift, 'claim acquire long'), 'held')
      expect(success(await at(b, shift, 'claim list')).leases[0]).toMatchObject({ standing: 'live', ttl_secs: 600 })
      expect(success(await at(b, shift, 'claim list --sweep')).count).toBe(1)
      success(await at(a, shift, 'claim check long --token 1'))
      const renewed = success(await at(a, shift, 'claim renew long'))
      expect(renewed.lease).toMatchObject({ token: 1, remaining_secs: 600 })
      expect(renewed.late).toBeUndefined()
      failure(await b.run('--json claim acquire long'), 'held')

      success(await at(a, shift, 'claim acquire short --ttl 1s'))
      await until(async () => (await b.lease('ticket:short')).standing === 'expired', 'it has expired')
      expect(success(await b.run('--json claim acquire short')).lease.holder.agent_id).toBe('agent:b')
      await a.acquire('short2 --ttl 1s')
      expect(success(await at(b, shift, 'claim acquire short2 --wait=60s')).lease.holder.agent_id).toBe('agent:b')
      expect(repo.story()).toEqual([
        'acquire ticket:long',
        'renew ticket:long',
        'acquire ticket:short',
        'auto-evict ticket:short',
        'acquire ticket:short',
        'acquire ticket:short2',
        'auto-evict ticket:short2',
        'acquire ticket:short2',
      ])
    })
  }
})

needsFaketime.it('a monotonic clock that pretends is refused before anything is judged or written', async () => {
  const repo = repository()
  const a = repo.as('agent:a')
  await a.acquire('x')
  const before = repo.log()
  for (const words of ['claim acquire y', 'claim renew x', 'claim list', 'claim list --sweep', 'claim check x --token 1']) {
    // oxlint-disable-next-line no-await-in-loop -- each in turn
    const error = failure(await a.startWith(['faketime', '-f', '+1h'], `--json ${words}`).ended, 'unavailable', words)
    expect(error.message).toContain('monotonic clock')
    expect(error.hint).toContain('FAKETIME_DONT_FAKE_MONOTONIC=1')
    expect(error.details).toMatchObject({ outcome: 'nothing_changed' })
  }
  expect(repo.log()).toBe(before)
})
