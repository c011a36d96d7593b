import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { failure, isRunning, sleep, until } from '../support/cli.ts'
import { ending, expectNothingLeft, id, known, launched, launching, person, stage } from '../support/launch.ts'
import { requires } from '../support/skip.ts'

// What is done to launches that nobody meant to do.

const key = `ticket:${id}`

const namespaces = (): boolean => {
  try {
    execFileSync('unshare', ['--pid', '--mount', '--mount-proc', '--fork', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

requires(process.getuid?.() === 0 && namespaces(), 'needs root and pid namespaces (unshare --pid)').describe('another container', () => {
  it('cannot end a session whose agent it cannot end, and frees nothing', async () => {
    const all = stage()
    const { running, doc } = await launched(all)
    const inside = ['unshare', '--pid', '--mount', '--mount-proc', '--fork']
    const result = await person(all).startWith(inside, '--json session end dev-fix-login --reason over').ended
    expect(failure(result, 'policy').message).toBe(
      'the agent of session dev-fix-login lives, and cannot be ended from here; nothing was changed',
    )
    expect(isRunning(doc.pid)).toBe(true)
    expect(await known(all)).toMatchObject({ leases: [{ resource: key, token: doc.lease.token }], sessions: [{ standing: 'live' }] })
    await ending(all, running)
  })
})

describe('the agent goes on, and keeps its claim', () => {
  it('while its log is somewhere else for a while', async () => {
    const all = stage()
    const { running, doc } = await launched(all)
    fs.renameSync(all.repo.store, `${all.repo.store}-away`)
    // More than one look of the supervisor's.
    await sleep(7000)
    expect(isRunning(doc.pid)).toBe(true)
    fs.rmSync(all.repo.store, { recursive: true, force: true })
    fs.renameSync(`${all.repo.store}-away`, all.repo.store)
    expect(await known(all)).toMatchObject({ leases: [{ resource: key, token: doc.lease.token }], sessions: [{ standing: 'live' }] })
    expect(await ending(all, running)).toMatchObject({ code: 0 })
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
  })

  it('when nothing can be told of its start: a full disk below the output', async () => {
    const all = stage()
    const full = ['sh', '-c', 'exec "$@" >/dev/full 2>&1', 'sh']
    const running = all.launcher.startWith(full, launching, ...all.agent('work'))
    await until(async () => (await person(all).ok('session list')).count === 1, 'the session is live')
    await sleep(500)
    expect(running.child.exitCode).toBeNull()
    expect(await ending(all, running)).toMatchObject({ code: 0 })
    expect(await known(all)).toEqual({ leases: [], sessions: [], pending: [] })
  })
})

it('an expression that would take for ever is no reason to wait for ever', async () => {
  const all = stage()
  const before = all.repo.story()
  const line = 'echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab; sleep 1000'
  const words = `--json launch ${id} --role dev --ready output=^(a+)+$ --ready-timeout 2s -- sh -c`
  expect(failure({ ...(await all.launcher.run(words, line)), stderr: '' }, 'launch_failed').message).toContain('it did not show within 2 s')
  await expectNothingLeft(all, before)
})

describe('options that would change nothing are refused', () => {
  it.each([
    [`--json launch ${id} --role dev --ready fd --prompt x`, '--prompt is for the profile acp, and this is command'],
    [`--json launch ${id} --role dev --ready fd --permit`, '--permit is for the profile acp, and this is command'],
    ['--json launch --no-ticket --worktree --role dev --ready fd', '--worktree is the worktree of a ticket'],
    [`--json work ${id} --ready fd --op-id one`, 'a launch cannot be repeated by its id'],
    [`--json work ${id} --role dev`, '--role is for an agent that is launched'],
    [`--json work ${id} --peer chief`, '--peer is for an agent that is launched'],
    [`--json work ${id} --ready fd --peer ,`, '--peer: "," has an empty value'],
    [`--json launch ${id} --role dev --ready fd --peer ,`, '--peer: "," has an empty value'],
    [`--json launch ${id} --role dev --ready fd --worktree --peer=`, '--peer is empty'],
    [`--json work ${id} --permit`, '--permit is for an agent that is launched'],
  ])('%s', async (words, message) => {
    const all = stage()
    const result = await all.launcher.run(words, ...all.agent('work'))
    expect(failure(result, 'usage').message).toBe(message)
    expect(all.repo.story()).toEqual([])
  })
})
