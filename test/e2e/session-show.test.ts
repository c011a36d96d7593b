import fs from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isRunning, repository, signal, until } from '../support/cli.ts'
import type { Agent, Doc, Repo, Running } from '../support/cli.ts'

// What is said of agents that `lh launch` really started.

let repo: Repo
let ada: Agent
let script: string

beforeEach(() => {
  repo = repository()
  ada = repo.as('human:ada')
  script = path.join(repo.dir, '.git', 'agent.sh')
  fs.writeFileSync(script, '#!/bin/sh\nprintf "\\n" >&"$LEASEHOLD_READY_FD"\nexec sleep 600\n', { mode: 0o755 })
})

// A launcher that is killed leaves its agent running, which is none of this test's business later on.
afterEach(async () => {
  for (const { witness } of (await ada.ok('session list')).sessions) signal(witness.pid, 'SIGKILL')
})

/** Launches an agent that works until it is ended. */
async function launched(ticket: string, role = 'dev'): Promise<Running> {
  const launch = ada.start(`launch ${ticket} --role ${role} --ready fd --`, script)
  await until(async () => (await named(`${role}-${ticket}`)) !== undefined, `${ticket} has its session`)
  return launch
}

const named = async (name: string): Promise<Doc> => (await ada.ok('session list')).sessions.find((session: Doc) => session.name === name)

describe('a launched agent', () => {
  it('is in session list, status and why with its facts, and in the list of leases as live', async () => {
    await launched('fix')
    const [session, ...others] = (await ada.ok('session list')).sessions
    expect(others).toEqual([])
    expect(session).toMatchObject({
      name: 'dev-fix',
      role: 'dev',
      standing: 'live',
      related_tickets: ['fix'],
      open: 'lh session show dev-fix',
      leases: [{ resource: 'ticket:fix' }],
    })
    expect(session.facts[0]).toContain(`process ${session.witness.pid} on `)
    expect(isRunning(session.witness.pid)).toBe(true)
    expect((await ada.ok('status')).sessions).toMatchObject([{ session_id: session.session_id, standing: 'live' }])
    expect(await ada.ok('why fix')).toMatchObject({ standing: 'live', session: { session_id: session.session_id }, pending: null })
    expect((await ada.ok('claim list')).leases).toMatchObject([{ standing: 'live', session: session.session_id }])
    const { stdout } = await ada.run('session list')
    expect(stdout).toMatch(/^dev-fix {2}live {2}dev {2}fix {2}.* lh session show dev-fix\n$/)
    expect((await ada.run('status')).stdout).toMatch(/\nlaunched\n {2}dev-fix {2}live /)
    expect((await ada.run('why fix')).stdout).toContain('  session   dev-fix (role dev), live\n')
    const shown = (await ada.run('session show fix')).stdout
    expect(shown).toMatch(/^dev-fix is live\n/)
    expect(shown, 'and not what was just asked').toMatch(/\n {2}next +to end it: lh session end dev-fix\n$/)
  })

  it('is found by its name, its id, a beginning of it, and its ticket', async () => {
    await launched('fix')
    const { session_id: id } = await named('dev-fix')
    for (const spelling of ['dev-fix', 'DEV-FIX', id, id.toLowerCase(), id.slice(0, 20), 'fix', 'ticket:fix'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await ada.ok('session show', spelling)).session.session_id, spelling).toBe(id)
    expect((await ada.refused('not_found', 'session show dev')).hint).toContain('lh session list')
  })

  it('that has ended is shown from the history, and no longer listed', async () => {
    const launch = await launched('fix')
    const { session_id: id } = await named('dev-fix')
    await ada.ok('session end dev-fix')
    await launch.ended
    expect((await ada.ok('session list')).sessions).toEqual([])
    expect((await ada.run('session list')).stdout).toBe('no sessions\n')
    const { session } = await ada.ok('session show fix')
    expect(session).toMatchObject({ session_id: id, standing: 'ended', state: 'ended', open: null, leases: [] })
    expect(session.facts[0]).toMatch(/^it ended at /)
    for (const words of ['session resume dev-fix', 'session end dev-fix', 'session reclaim dev-fix --reason r'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect(await ada.refused('not_found', words), words).toMatchObject({
        message: 'session dev-fix has ended',
        hint: expect.stringContaining(id),
      })
    const again = await launched('fix')
    expect((await ada.ok('session show fix')).session.standing).toBe('live')
    await ada.ok('session end fix')
    await again.ended
    // Of two that have ended, one after the other under one name, the newest.
    const newest = (await ada.ok('session show dev-fix')).session
    expect(newest).toMatchObject({ standing: 'ended' })
    expect(newest.session_id > id).toBe(true)
    expect((await ada.ok('session show fix')).session.session_id).toBe(newest.session_id)
    for (const words of ['session resume dev-fix', 'session end fix'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await ada.refused('not_found', words)).hint, words).toContain(
        `lh session show ${newest.session_id}; to begin again: lh launch fix --role dev`,
      )
    // Several that could each be meant are named.
    const review = await launched('fix', 'review')
    expect((await ada.ok('session show fix')).session.name).toBe('review-fix')
    await ada.ok('session end fix')
    await review.ended
    expect((await ada.refused('usage', 'session show fix')).details.candidates).toHaveLength(3)
  })

  it('that is live is not asked for a command to open it again', async () => {
    await launched('fix')
    for (const more of [[], ['--', script]]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { message, hint } = await ada.refused('held', 'session resume dev-fix', ...more)
      expect(message).toContain('is live, not restorable')
      expect(hint).toContain('lh session show dev-fix')
    }
    expect((await ada.refused('held', 'claim acquire fix')).hint).not.toContain('reclaim')
  })

  it('in flight is pending everywhere, and refuses with its launcher', async () => {
    fs.writeFileSync(script, '#!/bin/sh\nexec sleep 600\n')
    const launch = ada.start('launch fix --role intake --ready fd --', script)
    const [pending] = await until(async () => {
      const found = (await ada.ok('status')).pending
      return found.length > 0 && found[0].agent_pid !== null ? found : null
    }, 'the launch is seen')
    expect(pending).toMatchObject({
      resource: 'ticket:fix',
      role: 'intake',
      launcher_pid: launch.pid,
      launcher_alive: true,
      open: null,
    })
    for (const words of ['claim list', 'claim status --resource fix'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await ada.ok(words)).pending, words).toMatchObject([{ launch_id: pending.launch_id }])
    expect(await ada.ok('why fix')).toMatchObject({ standing: 'pending', pending: { launch_id: pending.launch_id }, lease: null })
    expect((await ada.refused('held', 'claim acquire fix')).details).toMatchObject({ pending: true, launcher_pid: launch.pid })
    launch.kill('SIGKILL')
    const [orphan] = await until(async () => {
      const found = (await ada.ok('status')).pending
      return found.length > 0 && !found[0].launcher_alive ? found : null
    }, 'the launcher is seen to be gone')
    expect(orphan).toMatchObject({ agent_pid: pending.agent_pid, open: 'lh session end fix' })
    expect((await ada.ok('why fix')).next).toBe('lh session end fix')
    await ada.ok('session end fix')
    await until(() => !isRunning(pending.agent_pid), 'what was left is ended')
    expect((await ada.ok('status')).pending).toEqual([])
  })
})
