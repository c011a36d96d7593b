import { execFileSync, spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, it } from 'vitest'
import { folder, repository } from '../support/cli.ts'

// A repository that was copied with its store: what the original says by now cannot be known in the copy.

/** The original, in which agent:two holds by now what agent:one held when it was copied; and agent:one in the copy. */
async function copied() {
  const repo = repository()
  const [one, two] = [repo.as('agent:one'), repo.as('agent:two')]
  const lease = await one.acquire('branch:main')
  const copy = path.join(folder('copy-'), 'repo')
  execFileSync('cp', ['-r', repo.dir, copy])
  await two.ok('claim evict branch:main --reason gone')
  await two.acquire('branch:main')
  return { there: one.in(copy), copy, lease }
}

it('check says yes to nobody there, and those who look are warned', async () => {
  const { there, lease } = await copied()
  for (const words of [`claim check branch:main --token ${lease.token}`, `claim check ${lease.lease_id} --token ${lease.token}`])
    expect(await there.refused('unavailable', words)).toMatchObject({ message: expect.stringContaining('was copied or moved') })
  for (const words of ['claim list', 'claim status', 'why branch:main', 'status']) {
    const { code, stdout } = await there.run(`--json ${words}`)
    expect([code, stdout]).toEqual([0, expect.stringContaining('was copied or moved')])
  }
  expect((await there.run('claim renew branch:main')).code).toBe(7)
  const { code } = await there.run('doctor --copied')
  expect(code).toBe(0)
  expect((await there.refused('superseded', `claim check branch:main --token ${lease.token}`)).code).toBe('superseded')
  expect((await there.ok('claim list')).warnings).toEqual([])
})

it('a commit on what is in doubt is told that nobody judged it', async () => {
  const repo = repository()
  const one = repo.as('agent:one')
  await one.ok('hooks install git')
  await one.acquire('branch:main')
  const copy = path.join(folder('copy-'), 'repo')
  execFileSync('cp', ['-r', repo.dir, copy])
  const commit = () => {
    const env = { ...process.env, LEASEHOLD_AGENT_ID: 'agent:one' }
    const { status, stderr } = spawnSync('git', ['commit', '-q', '--allow-empty', '-m', 'work'], { cwd: copy, env, encoding: 'utf8' })
    return [status, stderr]
  }
  expect(commit()).toEqual([0, expect.stringMatching(/this commit is not judged: .* was copied or moved/)])
  await one.in(copy).run('doctor --copied')
  expect(commit()).toEqual([0, ''])
})
