// @ts-check
/**
 * `npm run bench [-- whole inprocess contend history replay tickets hook git-hooks launch etcd worktrees] [--quick]`: measures the build in `dist` beside what it is compared with, in one
 * run, and prints ratios with their targets. Times of one machine mean little, ratios of one run much.
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import { printTable } from './report.mjs'
import { dist, executable, temporaryDirectory } from './stores.mjs'

/** @type {Record<string, { title: string, load: () => Promise<(options: { quick: boolean }) => Promise<import('./report.mjs').Row[]>> }>} */
const sections = {
  whole: { title: 'Whole processes, wall time against `node empty.cjs`', load: async () => (await import('./whole.mjs')).whole },
  inprocess: { title: 'In one process that stays', load: async () => (await import('./inprocess.mjs')).inProcess },
  contend: { title: 'Many processes on one store', load: async () => (await import('./contend.mjs')).contention },
  history: { title: 'After a long history', load: async () => (await import('./history.mjs')).history },
  replay: { title: 'Reading the log back', load: async () => (await import('./replay.mjs')).replay },
  tickets: {
    title: 'Ten thousand tickets, against `node` reading the same files',
    load: async () => (await import('./tickets.mjs')).tickets,
  },
  hook: {
    title: 'The hook before and after a tool call, wall time against `node empty.cjs`',
    load: async () => (await import('./hook.mjs')).hook,
  },
  'git-hooks': { title: 'Git hooks', load: async () => (await import('./git-hooks.mjs')).gitHooks },
  launch: { title: 'Launches', load: async () => (await import('./launch.mjs')).launches },
  etcd: { title: 'Three nodes of etcd, and what else one could use', load: async () => (await import('./etcd.mjs')).etcd },
  worktrees: { title: 'Fifty worktrees', load: async () => (await import('./worktrees.mjs')).worktrees },
}

const asked = process.argv.slice(2).filter(word => !word.startsWith('--'))
const quick = process.argv.includes('--quick')
const unknown = asked.filter(name => !Object.hasOwn(sections, name))
if (unknown.length > 0) {
  console.error(`no such section: ${unknown.join(', ')}; there are ${Object.keys(sections).join(', ')}`)
  process.exit(2)
}
if (!fs.existsSync(executable)) {
  console.error(`${executable} is missing: npm run build`)
  process.exit(2)
}

/** Type of the file system that the stores are made on. */
function fileSystem() {
  try {
    return execFileSync('stat', ['-f', '-c', '%T', temporaryDirectory('fs')], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

const cpus = os.cpus()
console.log(
  `${new Date().toISOString()}  Node ${process.version}  ${cpus.length} × ${cpus[0]?.model.trim() ?? 'unknown'}  ${fileSystem()} at ${os.tmpdir()}  load ${os.loadavg()[0]?.toFixed(2)}`,
)
console.log(`${dist}: lh.cjs ${(fs.statSync(executable).size / 1024).toFixed(1)} KiB`)
for (const name of asked.length > 0 ? asked : Object.keys(sections)) {
  const { title, load } = /** @type {(typeof sections)[string]} */ (sections[name])
  const measure = await load()
  printTable(title, await measure({ quick }))
}
