import fs from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { explainResource } from '../../../src/service/claim/explain.ts'
import { listedPending } from '../../../src/service/claim/pending.ts'
import { seeLease } from '../../../src/service/claim/answer.ts'
import { explainLaunched } from '../../../src/service/session/explain.ts'
import { listedSessions, seeSession } from '../../../src/service/session/report.ts'
import { repository, until } from '../../support/cli.ts'
import type { Repo } from '../../support/cli.ts'
import { anAgent, depart, kill, launch, letGo, openWorkspace, reserve } from '../../support/launches.ts'
import type { Opened } from '../../support/launches.ts'

// What is said of a session, against sessions whose agents really live, end, and are lost.

let repo: Repo
let workspace: Opened

beforeEach(async () => {
  repo = repository()
  workspace = await openWorkspace(repo.dir)
})

const look = () => workspace.coordinator.view()

async function why(resource: string) {
  const view = await look()
  const lease = view.lease(resource)
  const document = explainResource(resource, view, null)
  return lease === null ? document : explainLaunched(document, lease, view)
}

const standingOf = async (resource: string): Promise<string> => {
  const view = await look()
  return seeLease(view.lease(resource)!, view).standing
}

/** A file that stands for what a client keeps of a session. */
function stored(): string {
  const file = path.join(repo.dir, '.git', 'session.jsonl')
  fs.writeFileSync(file, '')
  return file
}

describe('a session', () => {
  it('is live while its agent runs, and says where', async () => {
    const agent = anAgent()
    const { session } = await launch(workspace, { ticket: 'fix', agent })
    const [seen, ...others] = listedSessions(await look())
    expect(others).toEqual([])
    expect(seen).toMatchObject({ standing: 'live', open: 'lh session show dev-fix' })
    expect(seen!.leases.map(({ resource }) => resource)).toEqual(['ticket:fix'])
    const [process, client, claim, proof] = seen!.facts
    expect(process).toMatch(new RegExp(`^process ${agent.witness.pid} on .* is alive; seen to work since `))
    expect(client).toBe('its client has nothing that it could be opened with again')
    expect(claim).toMatch(/^its supervisor renewed its claim of ticket:fix .* ago$/)
    expect(proof).toMatch(/^proved to work by ready-fd: a newline, at /)
    expect(await why('ticket:fix')).toMatchObject({
      standing: 'live',
      next: 'lh session show dev-fix',
      session: { session_id: session.sessionId, standing: 'live' },
      evidence: [process, client, expect.stringMatching(/^its supervisor renewed/), proof],
    })
  })

  it('is live when its agent ended and what it started has not', async () => {
    const agent = anAgent()
    await launch(workspace, { ticket: 'fix', agent })
    await kill(agent)
    const [seen] = listedSessions(await look())
    expect(seen!.standing).toBe('live')
    expect(seen!.facts[0]).toMatch(/has ended, but something that it started still runs$/)
  })

  it('is dead when its agent and everything else is gone and there is nothing to open; its claim is free to take', async () => {
    const agent = anAgent()
    const { hold } = await launch(workspace, { ticket: 'fix', agent })
    await kill(agent)
    letGo(hold)
    const [seen] = listedSessions(await look())
    expect(seen).toMatchObject({ standing: 'dead', open: 'lh session end dev-fix' })
    expect(seen!.facts[0]).toMatch(/is gone, and so is everything that it started$/)
    expect(await standingOf('ticket:fix')).toBe('dead')
    expect(await why('ticket:fix')).toMatchObject({ standing: 'dead', next: 'lh claim acquire ticket:fix' })
  })

  it('is restorable when its client still has it, before and after its end is recorded', async () => {
    const agent = anAgent()
    const file = stored()
    const { session, hold } = await launch(workspace, { ticket: 'fix', agent, resume: { command: ['client', '--resume'], stored: file } })
    await kill(agent)
    letGo(hold)
    expect(listedSessions(await look())[0]!.standing).toBe('restorable')
    await depart(workspace, session, 3)
    const [seen] = listedSessions(await look())
    expect(seen).toMatchObject({ standing: 'restorable', open: 'lh session resume dev-fix' })
    expect(seen!.facts.slice(0, 3)).toEqual([
      expect.stringMatching(/^its agent ended with exit code 3 \(it was process \d+ on /),
      `its client still has the session: ${file}`,
      'its claim of ticket:fix waits for it, without a deadline',
    ])
    expect(await standingOf('ticket:fix')).toBe('live')
    expect(await why('ticket:fix')).toMatchObject({ standing: 'live', next: 'lh session resume dev-fix' })
    fs.rmSync(file)
    const [lost] = listedSessions(await look())
    expect(lost!.standing).toBe('dead')
    expect(lost!.facts[1]).toBe(`its client has lost the session: ${file} is gone`)
  })

  it('is stale when nobody can tell whether it lives and it has been silent for longer than its TTL', async () => {
    const { session, hold } = await launch(workspace, { ticket: 'fix', ttlSecs: 1 })
    letGo(hold)
    expect(listedSessions(await look())[0]!.standing).toBe('live')
    await until(async () => listedSessions(await look())[0]!.standing === 'stale', 'its second is over')
    const view = await look()
    const seen = seeSession(view.session(session.sessionId)!, view)
    expect(seen).toMatchObject({ standing: 'stale', open: 'lh session reclaim dev-fix --reason "…"' })
    expect(seen.facts[0]).toBe('whether its agent runs cannot be told from here: no process is known for it')
    expect(seen.facts[2]).toMatch(/^nobody has renewed its claim of ticket:fix for .*: its supervisor is gone, or stopped$/)
    expect(await standingOf('ticket:fix')).toBe('stale')
    expect(await why('ticket:fix')).toMatchObject({ standing: 'stale', frees_when: expect.stringContaining('word of a person') })
  })
})

describe('a launch in flight', () => {
  it('is listed with its launcher, explains what it holds, and is gone with it', async () => {
    const { launchId, hold } = await reserve(workspace, { ticket: 'fix', role: 'intake' })
    const [pending, ...others] = listedPending(await look())
    expect(others).toEqual([])
    expect(pending).toMatchObject({
      resource: 'ticket:fix',
      launchId,
      role: 'intake',
      agentId: 'agent:launched',
      launcherPid: process.pid,
      launcherAlive: true,
      agentPid: null,
      open: null,
    })
    expect(await why('ticket:fix')).toMatchObject({
      standing: 'pending',
      lease: null,
      pending: { launch_id: launchId, launcher_pid: process.pid },
      next: 'lh claim acquire ticket:fix --wait',
    })
    const agent = anAgent()
    hold.lock!.note(agent.witness)
    expect(listedPending(await look())[0]!.agentPid).not.toBeNull()
    // An agent that has closed the lock lives all the same.
    letGo(hold)
    expect(listedPending(await look())).toHaveLength(1)
    await kill(agent)
    expect(listedPending(await look())).toEqual([])
    expect(await why('ticket:fix')).toMatchObject({ standing: 'free', pending: null })
  })
})
