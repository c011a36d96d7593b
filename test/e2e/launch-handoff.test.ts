import { describe, expect, it } from 'vitest'
import type { Agent, Doc } from '../support/cli.ts'
import { executable, exits, isRunning, sleep, until } from '../support/cli.ts'
import type { Stage } from '../support/launch.ts'
import { accepted, ending, expectNothingLeft, id, known, launched, launching, person, stage, tell, wrote } from '../support/launch.ts'
import { fieldOf } from '../support/tickets.ts'

// Agents that work with each other: both know it before the first prompt, and one can hand its work to another.

const key = `ticket:${id}`

const sessionOf = async (all: Stage, name: string): Promise<Doc> => (await person(all).ok(`session show ${name}`)).session

/** Somebody who runs commands as a launched agent does. */
const acting = (all: Stage, { session }: Doc): Agent =>
  all.launcher
    .with({ LEASEHOLD_AGENT_ID: session.agent_id, LEASEHOLD_SESSION_ID: session.session_id, LEASEHOLD_LAUNCH_ID: session.session_id })
    .in(session.cwd)

const role = (name: string): string => `--json launch --no-ticket --role ${name} --ready fd`

describe('peers', () => {
  it('are in both records, by the one that claims, and in the environment of the child', async () => {
    const all = stage()
    const chief = await launched(all, role('orchestrator'))
    const dev = await launched(all, `${launching} --peer orchestrator`, ...all.agent('env'))
    const [chiefId, devId] = [chief.doc.session.session_id, dev.doc.session.session_id]
    expect(dev.doc.session.peers).toEqual([chiefId])
    expect((await sessionOf(all, 'orchestrator')).peers).toEqual([devId])
    expect((await sessionOf(all, 'dev-fix-login')).peers).toEqual([chiefId])
    expect(wrote(all, 'env')).toContain(`LEASEHOLD_PEERS=${chiefId}`)
    expect(all.repo.story()).toEqual(['session orchestrator', `acquire ${key}`])
    expect(all.repo.records().at(-1)).toMatchObject({
      session: { peers: [chiefId] },
      other_sessions: [{ name: 'orchestrator', peers: [devId] }],
    })
    tell(all, 'stop')
    await Promise.all([chief.running.ended, dev.running.ended])
  })

  it('may be several, named by their names or by the beginning of their ids, without a ticket too', async () => {
    const all = stage()
    const one = await launched(all, role('one'))
    const two = await launched(all, role('two'))
    const both = `one,${two.doc.session.session_id.toLowerCase()},one`
    const three = await launched(all, `${role('three')} --peer ${both}`, ...all.agent('env'))
    expect(three.doc.session.peers).toEqual([one.doc.session.session_id, two.doc.session.session_id])
    expect(wrote(all, 'env')).toContain(`LEASEHOLD_PEERS=${three.doc.session.peers.join(',')}`)
    for (const name of ['one', 'two']) expect((await sessionOf(all, name)).peers).toEqual([three.doc.session.session_id])
    tell(all, 'stop')
    await Promise.all([one, two, three].map(({ running }) => running.ended))
  })

  it('may be named in another case, by what they work on, and by their own ids, as everywhere', async () => {
    const all = stage()
    const dev = await launched(all, `${launching} --name Dev`)
    const { session_id: devId, related_tickets: tickets } = dev.doc.session
    for (const [name, spelling] of [
      ['one', 'dEV'],
      ['two', 'fix-login'],
      ['three', `ticket:${tickets[0]}`],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const peer = await launched(all, `${role(name)} --peer ${spelling}`)
      expect(peer.running.stderr, spelling).not.toContain('to be its peer')
      expect(peer.doc.session.peers, spelling).toEqual([devId])
    }
    tell(all, 'stop')
    await dev.running.ended
  })

  it('that cannot be reached are a warning: unknown, ended, or more than one', async () => {
    const all = stage()
    const gone = await launched(all, `${role('gone')} --name gone`)
    await ending(all, gone.running)
    const first = await launched(all, role('one'))
    const second = await launched(all, role('two'))
    const prefix = first.doc.session.session_id.slice(0, 4)
    const { running, doc } = await launched(all, `${launching} --peer nobody,gone,${prefix}`)
    expect(doc.session.peers).toEqual([])
    for (const name of ['no session nobody', 'no session gone', `more than one session ${prefix}`]) expect(running.stderr).toContain(name)
    expect((await sessionOf(all, 'one')).peers).toEqual([])
    tell(all, 'stop')
    await Promise.all([running, first.running, second.running].map(each => each.ended))
  })

  it('know nothing of a launch that failed', async () => {
    const all = stage()
    const chief = await launched(all, role('orchestrator'))
    const before = all.repo.story()
    expect((await all.launcher.run(`${launching} --peer orchestrator`, ...all.agent('exit', '1'))).code).toBe(exits.launch_failed)
    expect(all.repo.story()).toEqual(before)
    expect((await sessionOf(all, 'orchestrator')).peers).toEqual([])
    await ending(all, chief.running)
    await expectNothingLeft(all, [...before, 'session orchestrator'])
  })
})

describe('a claim that is handed to another session', () => {
  it('moves with its worktree and its peers; the old agent is fenced, and goes on without it', async () => {
    const all = stage()
    const chief = await launched(all, role('orchestrator'))
    const dev = await launched(all, `${launching} --worktree --peer orchestrator`)
    const next = await launched(all, role('review'))
    const [devAgent, nextAgent] = [acting(all, dev.doc), acting(all, next.doc).in(all.place)]
    await devAgent.ok('ticket start fix-login')
    const moved = await devAgent.ok('claim transfer fix-login --to-session review --reason', 'please review')
    const lease = moved.leases?.find(({ resource }: Doc) => resource === key) ?? moved.lease
    expect(lease).toMatchObject({
      holder: { agent_id: next.doc.session.agent_id, session_id: next.doc.session.session_id, worktree_id: dev.doc.session.worktree_id },
      branch: 'agents/fix-login',
    })
    expect(lease.token).toBeGreaterThan(dev.doc.lease.token)
    // All that belongs to it, in one record.
    const { leases } = await known(all)
    expect(leases.map(({ token }) => token)).toEqual([lease.token, lease.token, lease.token])
    expect(all.repo.story().filter(line => line.startsWith('transfer'))).toHaveLength(1)
    const [old, now] = [await sessionOf(all, 'dev-fix-login'), await sessionOf(all, 'review')]
    expect([now.related_tickets, now.standing, old.standing]).toEqual([[id], 'live', 'live'])
    expect(now.peers).toContain(chief.doc.session.session_id)
    expect((await sessionOf(all, 'orchestrator')).peers).toContain(next.doc.session.session_id)
    // The old one can do no more for it.
    await devAgent.refused('superseded', `claim check fix-login --token ${dev.doc.lease.token}`)
    expect([exits.not_owner, exits.superseded]).toContain((await devAgent.run('ticket done fix-login')).code)
    expect([exits.not_owner, exits.superseded]).toContain((await devAgent.run('claim release fix-login')).code)
    expect(isRunning(dev.doc.pid)).toBe(true)
    // Its end takes nothing with it.
    process.kill(dev.doc.pid, 'SIGKILL')
    expect((await dev.running.ended).code).toBe(137)
    expect(dev.running.stderr).not.toContain('lost')
    expect((await known(all)).leases).toHaveLength(3)
    // The new one finishes it.
    await nextAgent.ok('ticket done fix-login')
    expect(fieldOf(all.place, id, 'workflow_state')).toBe('done')
    expect((await known(all)).leases).toEqual([])
    tell(all, 'stop')
    expect((await next.running.ended).code).toBe(0)
    expect((await chief.running.ended).code).toBe(0)
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
    await person(all).ok('verify')
  })

  it('is kept from then on by the supervisor of the agent that it was handed to', async () => {
    const all = stage()
    const review = await launched(all, role('review'))
    const dev = await launched(all, launching)
    await acting(all, dev.doc).ok('claim transfer fix-login --ttl 3s --to-session review --reason', 'your turn')
    await sleep(4000)
    const [lease] = (await known(all)).leases
    expect([lease.session, lease.standing]).toEqual([review.doc.session.session_id, 'live'])
    // Whoever loses it is ended, as one that was launched with it would be.
    await person(all).ok('claim evict fix-login --reason', 'enough')
    await until(() => !isRunning(review.doc.pid), 'it is ended')
    expect((await review.running.ended).code).toBe(exits.superseded)
    tell(all, 'stop')
    await dev.running.ended
  })

  it('ends with the agent that it was handed to', async () => {
    const all = stage()
    const dev = await launched(all)
    const next = await launched(all, role('review'))
    await acting(all, dev.doc).ok('claim transfer fix-login --to-session review --reason', 'your turn')
    expect((await all.b.refused('held', 'claim acquire fix-login')).message).toContain('session review')
    process.kill(next.doc.pid, 'SIGKILL')
    expect((await next.running.ended).code).toBe(137)
    expect((await known(all)).leases).toEqual([])
    await all.b.acquire('fix-login')
    await ending(all, dev.running)
  })

  it('also from one that could be opened again, by a person who has its token', async () => {
    const all = stage()
    const running = all.launcher.start('--json launch fix-login --role dev', ...all.claude)
    const doc = await accepted(running)
    await ending(all, running)
    const next = await launched(all, role('review'))
    await person(all).ok(
      `claim transfer ${doc.lease.lease_id} --token ${doc.lease.token} --to-session review --reason`,
      'it will not be opened',
    )
    const { leases } = await known(all)
    expect(leases).toMatchObject([{ resource: key, holder: { session_id: next.doc.session.session_id } }])
    expect(leases[0].ttl_secs).toBeGreaterThan(0)
    await ending(all, next.running)
    expect((await known(all)).leases).toEqual([])
  })

  it('goes to nobody who is not there, and is handed on by nobody who does not have it', async () => {
    const all = stage()
    const dev = await launched(all)
    const next = await launched(all, role('review'))
    await acting(all, dev.doc).refused('not_found', 'claim transfer fix-login --to-session nobody --reason x')
    await acting(all, dev.doc).refused('usage', 'claim transfer fix-login --to-session review --to-agent agent:x --reason x')
    await all.b.refused('not_owner', 'claim transfer fix-login --to-session review --reason x')
    await acting(all, next.doc).refused('not_owner', 'claim transfer fix-login --to-session review --reason x')
    process.kill(next.doc.pid, 'SIGKILL')
    await next.running.ended
    await acting(all, dev.doc).refused('not_found', 'claim transfer fix-login --to-session review --reason x')
    expect((await known(all)).leases).toMatchObject([{ holder: { session_id: dev.doc.session.session_id } }])
    tell(all, 'stop')
    await dev.running.ended
  })
})

it('an agent that gave its ticket back goes on, whoever had it for a moment since', async () => {
  const all = stage()
  const lh = '"$0" "$1"'
  const script = `echo >&3; sleep 1; ${lh} claim release fix-login >&2; ${lh} ticket queue fix-login >&2; sleep 2; exit 0`
  const ended = await all.launcher.run(`${launching} --`, 'sh', '-c', script, process.execPath, executable)
  expect(ended.code, ended.stderr).toBe(0)
  expect(
    all.repo
      .story()
      .filter(line => line.endsWith(key))
      .slice(0, 3),
  ).toEqual([`acquire ${key}`, `release ${key}`, `acquire ${key}`])
})
