import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Running, executable, exits, folder, git, parse } from '../support/cli.ts'
import type { Code, Doc, Result } from '../support/cli.ts'
import { EtcdCluster, eventually } from '../support/etcd-cluster.ts'
import { proxyTo } from '../support/etcd-proxy.ts'
import { needsEtcd } from '../support/etcd.ts'
import { canMakeNetworks } from '../support/network.ts'
import type { Machine } from '../support/network.ts'
import { requires } from '../support/skip.ts'
import { putTicket } from '../support/tickets.ts'

// Two machines, made of network namespaces, each with a clone of one repository, and three nodes of etcd that both reach.

/** Somebody on one of the machines. */
class Remote {
  readonly machine: Machine
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv

  constructor(machine: Machine, cwd: string, env: NodeJS.ProcessEnv) {
    this.machine = machine
    this.cwd = cwd
    this.env = env
  }

  run(words: string, ...more: readonly string[]): Promise<Result> {
    return this.start(`--json ${words}`, ...more).ended
  }

  start(words: string, ...more: readonly string[]): Running {
    const [program, ...args] = [...this.machine.through, process.execPath, executable, ...words.split(' '), ...more]
    return new Running(program!, args, { cwd: this.cwd, env: { ...process.env, ...this.env } })
  }

  async ok(words: string, ...more: readonly string[]): Promise<Doc> {
    const { code, stdout, stderr } = await this.run(words, ...more)
    expect({ code, stdout, stderr }, words).toMatchObject({ code: 0 })
    return parse(stdout)
  }

  async refused(code: Code, words: string, ...more: readonly string[]): Promise<Doc> {
    const result = await this.run(words, ...more)
    expect(result, words).toMatchObject({ code: exits[code] })
    return parse(result.stdout).error
  }
}

const ticketIds = Array.from({ length: 8 }, (_, number) => `20260101-00000${number}-job-${number}`)

needsEtcd.describe('with etcd', () => {
  requires(canMakeNetworks(), 'needs root, and a kernel with network namespaces, veth and bridges').describe('two machines', () => {
    let cluster: EtcdCluster
    let origin: string
    let spaces = 0
    beforeAll(async () => {
      cluster = await EtcdCluster.start({ folder: folder('machines-'), network: true })
    })
    afterAll(() => cluster.close())

    /** Two clones of a repository with tickets, whose configuration names a space of its own. */
    function clones(): { one: Remote; two: Remote } {
      const place = folder('clones-')
      origin = path.join(place, 'origin.git')
      git(place, 'init', '-q', '--bare', origin)
      const first = path.join(place, 'first')
      git(place, 'clone', '-q', origin, first)
      for (const id of ticketIds) putTicket(first, id)
      writeFileSync(path.join(first, '.leasehold', 'config.yaml'), `store: ${cluster.url(`day/${process.pid}-${++spaces}`)}\n`)
      git(first, 'add', '-A')
      git(first, 'commit', '-qm', 'tickets')
      git(first, 'push', '-q', 'origin', 'HEAD')
      const second = path.join(place, 'second')
      git(place, 'clone', '-q', origin, second)
      return {
        one: new Remote(machines()[0], first, { LEASEHOLD_AGENT_ID: 'agent:one' }),
        two: new Remote(machines()[1], second, { LEASEHOLD_AGENT_ID: 'agent:two' }),
      }
    }

    let made: readonly [Machine, Machine] | null = null
    const machines = (): readonly [Machine, Machine] => (made ??= [cluster.network!.machine('one'), cluster.network!.machine('two')])

    /** Takes tickets until there is none, works on each in a file of its own, and pushes. */
    async function day(worker: Remote): Promise<readonly Doc[]> {
      const done: Doc[] = []
      for (;;) {
        const next = await worker.run('ticket next --claim')
        expect(next, 'ticket next').toMatchObject({ code: 0 })
        const { ticket, lease } = parse(next.stdout)
        if (ticket === null) return done
        const id = ticket.id as string
        mkdirSync(path.join(worker.cwd, 'work'), { recursive: true })
        writeFileSync(path.join(worker.cwd, 'work', id), `${worker.env['LEASEHOLD_AGENT_ID']}\n`)
        await worker.ok(`claim check ${id} --token ${lease.token}`)
        await worker.ok(`ticket start ${id}`)
        await worker.ok(`ticket done ${id}`)
        git(worker.cwd, 'add', '-A')
        git(worker.cwd, 'commit', '-qm', `work on ${id}`)
        for (let push = 0; ; push++) {
          git(worker.cwd, 'pull', '-q', '--rebase', 'origin', 'HEAD')
          try {
            git(worker.cwd, 'push', '-q', 'origin', 'HEAD')
            break
          } catch (error) {
            // The other machine was faster.
            if (push === 10) throw error
          }
        }
        done.push({ id, token: lease.token })
      }
    }

    it('work a day of tickets: each is done once, and in both clones everybody sees the same', async () => {
      const { one, two } = clones()
      const [mine, theirs] = await Promise.all([day(one), day(two)])
      const all = [...mine, ...theirs]
      expect(all.map(({ id }) => id as string).toSorted()).toEqual(ticketIds)
      expect(new Set(all.map(({ token }) => token as number)).size).toBe(ticketIds.length)
      expect(mine.length * theirs.length).toBeGreaterThan(0)
      git(one.cwd, 'pull', '-q', '--rebase', 'origin', 'HEAD')
      git(two.cwd, 'pull', '-q', '--rebase', 'origin', 'HEAD')
      for (const worker of [one, two]) {
        expect((await worker.ok('claim list')).leases).toEqual([])
        const { tickets } = await worker.ok('ticket list --status all')
        expect(tickets.map(({ workflow_state }: Doc) => workflow_state)).toEqual(ticketIds.map(() => 'done'))
      }
      const history = async (worker: Remote): Promise<Doc> => (await worker.ok('claim history')).operations
      expect(await history(one)).toEqual(await history(two))
      const grants = (await history(one)).filter(({ op }: Doc) => op === 'acquire')
      expect(grants.map(({ resource }: Doc) => resource).toSorted()).toEqual(ticketIds.map(id => `ticket:${id}`))
    }, 120_000)

    it('one waits for the other, and nobody evicts what is renewed', async () => {
      const { one, two } = clones()
      const { lease } = await one.ok('claim acquire env:staging --ttl 1m')
      expect((await two.refused('held', 'claim acquire env:staging')).holder.agent_id).toBe('agent:one')
      const waiting = two.start('claim acquire env:staging --wait=60s')
      await eventually('the other to wait', () => (waiting.stderr === '' ? null : true))
      await one.ok(`claim release env:staging --token ${lease.token}`)
      const got = await waiting.ended
      expect(got).toMatchObject({ code: 0 })
      const [next] = (await two.ok('claim list')).leases
      expect(next.holder.agent_id).toBe('agent:two')
      expect(next.token).toBeGreaterThan(lease.token)
    }, 60_000)

    it('status and why say who answered, how the members are, and what is uncertain', async () => {
      const { one, two } = clones()
      await one.ok('claim acquire env:staging --ttl 1m')
      const whole = await two.ok('status')
      expect(whole.answered_by).toMatch(/^http:\/\/10\./)
      expect(whole.members.map(({ state }: Doc) => state).toSorted()).toEqual(['leader', 'member', 'member'])
      expect(whole.uncertain).toEqual([])
      const cut = await cluster.leader()
      cluster.network!.split([cut.name])
      await cluster.leader(cluster.others(cut))
      const broken = await two.ok('why env:staging')
      expect(broken.standing).toBe('live')
      expect(broken.members.filter(({ state }: Doc) => state === 'silent')).toHaveLength(1)
      expect(broken.uncertain[0]).toContain(cut.address)
      expect(broken.answered_by).not.toContain(cut.address)
      await cluster.mend()
    }, 60_000)

    it('who cannot reach the store is told 7, never that something is free; an unknown outcome is replayed under its op_id', async () => {
      const { one, two } = clones()
      await one.ok('claim acquire env:staging --ttl 5m')
      // A machine on its own: it is not told anything, least of all that nobody holds it.
      cluster.network!.split(['two'])
      const questions = [
        'claim acquire env:staging',
        'claim list',
        'why env:staging',
        'status',
        'ticket next --claim',
        'claim check env:staging --token 1',
      ]
      await Promise.all(
        questions.map(async words => {
          const error = await two.refused('unavailable', words)
          expect(error.message, words).toContain('cannot be reached')
          expect(error.details, words).toMatchObject({ outcome: 'nothing_changed' })
        }),
      )
      await one.ok('claim renew env:staging')
      cluster.network!.heal()
      expect((await two.refused('held', 'claim acquire env:staging')).holder.agent_id).toBe('agent:one')

      // The command arrives, and no answer ever comes back: whether it happened nobody knows.
      const losing = await proxyTo(cluster.members[0]!, {
        loses: (route, body) => route === '/v3/kv/txn' && body.success?.some((step: Doc) => 'request_put' in step) === true,
      })
      const space = (await two.ok('status')).store.split('/').slice(3).join('/')
      const far = new Remote(two.machine, two.cwd, {
        ...two.env,
        LEASEHOLD_STORE: `etcd://${cluster.network!.address}:${losing.port}/${space}`,
      })
      const unknown = await far.refused('unavailable', 'claim acquire env:lost --ttl 5m')
      await losing.close()
      expect(unknown.details.outcome).toBe('unknown')
      expect(unknown.details.op_id).toMatch(/\S/)
      expect(unknown.hint).toContain('--op-id')
      const again = await two.ok(`claim acquire env:lost --ttl 5m --op-id ${unknown.details.op_id}`)
      const once = (await two.ok('claim history env:lost')).operations
      expect(once.map(({ op }: Doc) => op)).toEqual(['acquire'])
      expect(once[0].token).toBe(again.lease.token)
    }, 120_000)
  })
})
