import { expect, it } from 'vitest'
import { repository } from '../support/cli.ts'

// A bare word is claimed where there are no tickets yet, and becomes the name of a ticket later: it is the same work.

it('who holds the name of a ticket that was made later holds the ticket', async () => {
  const repo = repository()
  const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
  const older = await a.acquire('fix-login')
  const { id } = (await a.ok('ticket create --title', 'Fix login')).ticket
  await a.ok('ticket ready fix-login')
  for (const spelling of ['fix-login', id, `ticket:${id}`]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const refused = await b.refused('held', 'claim acquire', spelling)
    expect(refused.message).toBe(
      `${id} is held by agent:a (${older.holder.worktree_id}) as ticket:fix-login, since before there was that ticket`,
    )
    expect(refused.hint).toContain(`lh claim release ticket:fix-login --lease ${older.lease_id} --token 1`)
    expect(refused.holder).toMatchObject({ agent_id: 'agent:a' })
  }
  await b.refused('held', 'worktree add fix-login')
  expect((await b.ok('ticket next')).ticket).toBeNull()
  expect((await b.ok('ticket show fix-login')).ticket.why).toEqual(['held by agent:a'])
  expect((await b.run('ticket doctor')).stdout).toContain(
    `ticket:fix-login is held by agent:a, since before there was ${id}, which nobody can claim meanwhile`,
  )
})

it('its holder renews it and gives it back by the name it was taken by', async () => {
  const repo = repository()
  const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
  const older = await a.acquire('fix-login')
  const { id } = (await a.ok('ticket create --title', 'Fix login')).ticket
  expect((await a.ok('claim renew fix-login')).lease.lease_id).toBe(older.lease_id)
  expect((await b.ok('why fix-login')).resource).toBe('ticket:fix-login')
  await a.ok('claim release fix-login')
  expect((await b.acquire('fix-login')).resource).toBe(`ticket:${id}`)
  expect((await a.refused('not_owner', 'claim release fix-login')).message).toContain(`ticket:${id}`)
})
