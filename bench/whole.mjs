// @ts-check
// Whole processes of the installed build against an empty script of the same Node: what an agent pays for one command.
import fs from 'node:fs'
import path from 'node:path'
import { inTurns } from './measure.mjs'
import { plain } from './report.mjs'
import { executable, fill, openResident, repository, temporaryDirectory } from './stores.mjs'

const few = 10
const many = 1000
const most = 10_000

/** @param {string} name @param {string} cwd @param {(round: number) => readonly string[]} args */
const command = (name, cwd, args) => ({ name, cwd, args: /** @param {number} round */ round => [executable, ...args(round)] })

/** The life of one lease: three commands. @param {string} cwd @param {number} live */
const life = (cwd, live) => [
  command(`acquire ${live}`, cwd, round => ['claim', 'acquire', `bench-${round}`, '--ttl', '1h']),
  command(`renew ${live}`, cwd, round => ['claim', 'renew', `bench-${round}`]),
  command(`release ${live}`, cwd, round => ['claim', 'release', `bench-${round}`]),
]

/** @param {string} directory @param {string} resource @returns {Promise<number>} */
async function tokenOf(directory, resource) {
  const { store } = await openResident(directory)
  const view = await store.view()
  store.close()
  return view.lease(resource).token
}

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function whole({ quick }) {
  const empty = path.join(temporaryDirectory('empty'), 'empty.cjs')
  fs.writeFileSync(empty, '')
  const [small, middle, large] = [repository('10'), repository('1000'), repository('10000')]
  await fill(small, few)
  await fill(middle, many)
  await fill(large, most)
  const token = String(await tokenOf(large, 'ticket:seed-5000'))
  const times = quick ? { rounds: 10, usageRounds: 8 } : { rounds: 32, usageRounds: 16 }
  const bare = [{ name: 'empty', args: () => [empty] }]
  // Apart: after ten thousand leases were written, the kernel has work left that whoever comes next would pay for.
  const withFew = inTurns([bare, [command('version', small, () => ['--version'])], life(small, few)], times)
  const withMany = inTurns([bare, life(middle, many), [command('list', middle, () => ['claim', 'list'])]], times)
  const grown = inTurns([bare, life(small, few), life(large, most)], times)
  const checked = inTurns([bare, [command('check', large, () => ['claim', 'check', 'seed-5000', '--token', token])]], times)
  /** @param {ReturnType<typeof inTurns>} found @param {string} name */
  const of = (found, name) => /** @type {import('./measure.mjs').Usage} */ (found.get(name))
  const detail = /** @param {import('./measure.mjs').Usage} usage @param {import('./measure.mjs').Usage} against */ (usage, against) =>
    `CPU ${plain(usage.cpu / against.cpu)} x (mean ${plain(usage.cpuMean / against.cpuMean)}); ${plain(usage.wall)} ms against ${plain(against.wall)}`
  /** @param {string} what @param {ReturnType<typeof inTurns>} found @param {string} name @param {number} atMost */
  const row = (what, found, name, atMost) => ({
    what,
    value: of(found, name).wall / of(found, 'empty').wall,
    unit: 'x',
    ...(Number.isFinite(atMost) ? { target: { atMost } } : {}),
    note: detail(of(found, name), of(found, 'empty')),
  })
  const verbs = ['acquire', 'renew', 'release']
  const base = of(grown, 'empty')
  const heaviest = [...grown].filter(([name]) => name !== 'empty').toSorted(([, a], [, b]) => b.peak - a.peak)[0]
  return [
    row('lh --version (only loads the program)', withFew, 'version', Number.NaN),
    ...verbs.map(verb => row(`lh claim ${verb}, ${plain(few)} live leases`, withFew, `${verb} ${few}`, 1.35)),
    ...verbs.map(verb => row(`lh claim ${verb}, ${plain(many)} live leases`, withMany, `${verb} ${many}`, 1.35)),
    row('lh claim check, one of 10,000', checked, 'check', 1.3),
    row('lh claim list, 1,000 leases', withMany, 'list', 1.4),
    ...verbs.map(verb => ({
      what: `lh claim ${verb}: 10,000 live leases against 10`,
      value: of(grown, `${verb} ${most}`).wall / of(grown, `${verb} ${few}`).wall,
      unit: 'x',
      target: { atMost: 1.3 },
      note: detail(of(grown, `${verb} ${most}`), of(grown, `${verb} ${few}`)),
    })),
    {
      what: `peak memory, the most of these (${heaviest?.[0]})`,
      value: (heaviest?.[1].peak ?? Number.NaN) / base.peak,
      unit: 'x',
      target: { atMost: 1.3 },
      note: `${plain(heaviest?.[1].peak ?? Number.NaN)} MiB against ${plain(base.peak)}; acquire with 10 leases ${plain(of(grown, `acquire ${few}`).peak)}`,
    },
  ]
}
