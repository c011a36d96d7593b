import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { folder } from '../support/cli.ts'
import { needsEtcd, startEtcd } from '../support/etcd.ts'
import type { Etcd } from '../support/etcd.ts'
import { id, shop } from '../support/work.ts'
import type { Shop } from '../support/work.ts'

// The library as a program gets it from the package. What docs/library.md shows is run as it stands.

const root = path.join(import.meta.dirname, '../..')
/** Each program of a document, and what it is said to print. */
const programsOf = (document: string): readonly { readonly program: string; readonly output: string }[] =>
  [...fs.readFileSync(path.join(root, document), 'utf8').matchAll(/^```js run\n([^]*?)^```\n+```text\n([^]*?)^```$/gm)].map(
    ([, program = '', output = '']) => ({ program, output }),
  )
const programs = programsOf('docs/library.md')

/** Runs a program in a repository, with the package beside it. */
function run({ repo }: Shop, program: string): string {
  const place = folder('library-')
  fs.mkdirSync(path.join(place, 'node_modules'))
  fs.symlinkSync(root, path.join(place, 'node_modules/leasehold'))
  fs.writeFileSync(path.join(place, 'program.mjs'), program)
  const { stdout, stderr } = spawnSync(process.execPath, [path.join(place, 'program.mjs')], {
    cwd: repo.dir,
    encoding: 'utf8',
    timeout: 50_000,
  })
  return stdout + stderr
}

/** A program that asks for something and says what became of it. */
const asking = (how: string, open = 'openStore'): string => `
import { claimOf, openFileStore, openStore, Workspace } from 'leasehold'
const workspace = await Workspace.open({ directory: process.cwd(), env: process.env, agent: 'ci:build', open: ${open} })
  .catch(error => { console.log(error.code, error.message); process.exit() })
const me = await workspace.identify()
const resources = ${how}
const answer = await workspace.coordinator.acquire(me, { resources, ttlSecs: 60 })
console.log(resources.join(), answer.ok ? 'granted' : answer.refusal.kind)
workspace.store.close()
`

/** Ends the program with the code of what is thrown. */
const attempt = `
const attempt = async work => {
  try {
    return await work()
  } catch (error) {
    console.log(error.code ?? String(error))
    process.exit()
  }
}
`

const byWord = "(await claimOf(workspace, ['fix-login'])).resources"

it('a program has to be shown for each main thing', () => expect(programs.length).toBeGreaterThanOrEqual(4))

it('docs/session-lock.md prints what it says', () => {
  const [shown, ...others] = programsOf('docs/session-lock.md')
  expect(others).toEqual([])
  expect(run(shop(), shown!.program)).toBe(shown!.output)
})

describe('in files', () => {
  it('docs/library.md prints what it says', () => {
    const all = shop()
    for (const { program, output } of programs) expect(run(all, program), program).toBe(output)
  })

  it('a ticket is claimed by its full id however it is spelled, so nobody has it twice', async () => {
    const all = shop()
    await all.a.acquire(id)
    expect(run(all, asking(byWord))).toBe(`ticket:${id} held\n`)
    expect(run(all, asking("(await claimOf(workspace, ['ticket:Fix-Login', '20260607-2202'])).resources"))).toBe(`ticket:${id} held\n`)
  })

  it('what is no key of a resource is refused, and nothing is claimed under it', async () => {
    const all = shop()
    const spellings = [
      "'env:a'",
      '[]',
      'undefined',
      "['fix-login']",
      "['ENV:a']",
      "['ticket:Fix-Login']",
      "['path:../x']",
      "['path:/x']",
      '[3]',
    ]
    for (const spelling of spellings) {
      const wrong = asking(spelling).replace('await workspace.coordinator', 'await attempt(() => workspace.coordinator')
      const caught = wrong.replace('ttlSecs: 60 })', 'ttlSecs: 60 }))').replace('const me', `${attempt}const me`)
      expect(run(all, caught), spelling).toBe('usage\n')
    }
    expect((await all.a.ok('claim list')).leases).toEqual([])
  })

  it('guard says when what it ran was not over', () => {
    const all = shop()
    const program = asking("['env:a']").replace(
      'workspace.store.close()',
      `${attempt}
const target = { resource: 'env:a' }
console.log((await workspace.coordinator.guard(me, { target, effect: () => console.log('done') })).ok)
await attempt(() => workspace.coordinator.guard(me, { target, effect: async () => {} }))`,
    )
    expect(run(all, program)).toBe('env:a granted\ndone\ntrue\nusage\n')
  })
})

needsEtcd.describe('in etcd', () => {
  let etcd: Etcd
  beforeAll(async () => void (etcd = await startEtcd()))
  afterAll(() => etcd.stop())

  /** Its settings say etcd, as a fresh clone's do: nothing is beside the repository. */
  function clone(space: string): Shop {
    const all = shop()
    fs.writeFileSync(path.join(all.repo.dir, '.leasehold/config.yaml'), `store: etcd://${etcd.address}/${space}\n`)
    return all
  }

  it('docs/library.md prints what it says', () => {
    const all = clone('library')
    for (const { program, output } of programs) expect(run(all, program), program).toBe(output)
  })

  it('what somebody holds in another clone is refused, by any name; files are not opened there', async () => {
    const [one, two] = [clone('shared'), clone('shared')]
    await one.a.acquire(id)
    expect(run(two, asking("[workspace.resource('fix-login')]", 'openFileStore'))).toBe(
      `usage the settings of this repository say store: etcd://${etcd.address}/shared, and openFileStore opens files beside it\n`,
    )
    expect(fs.existsSync(path.join(two.repo.store, 'claims.jsonl'))).toBe(false)
    expect(run(two, asking(byWord))).toBe(`ticket:${id} held\n`)
  })
})
