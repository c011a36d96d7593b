// @ts-check
/**
 * Usage: code-cache.mjs MAIN CACHE. Runs the everyday commands of a built `lh` in a throw-away repository and keeps the code that V8 made of
 * them, so that the next process of the same Node need not compile it again. The cache saves time and decides nothing: V8 checks its own
 * version, its flags and the length of the source, and compiles as usual when one of them differs.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Script } from 'node:vm'

const [, , main = '', cache = ''] = process.argv
const repository = mkdtempSync(path.join(tmpdir(), 'leasehold-code-'))

/** As much of a Git repository as finding one needs. */
function makeRepository() {
  for (const folder of ['objects', 'refs/heads']) mkdirSync(path.join(repository, '.git', folder), { recursive: true })
  writeFileSync(path.join(repository, '.git/HEAD'), 'ref: refs/heads/main\n')
  writeFileSync(path.join(repository, '.git/config'), '[core]\n\tbare = false\n')
}

const script = new Script(readFileSync(main, 'utf8'), { filename: main })
const exit = process.exit

/** @param {string} line @param {number} expected */
async function run(line, expected = 0) {
  process.argv = [process.execPath, main, ...line.split(' '), '--repo', repository]
  const code = await new Promise(resolve => {
    // @ts-expect-error -- it never returns, as far as its caller knows
    process.exit = resolve
    script.runInThisContext()({}, createRequire(main), { exports: {} }, main, path.dirname(main))
  })
  process.exit = exit
  if (code !== expected) throw new Error(`lh ${line} ended with ${String(code)} while its code was collected`)
}

try {
  makeRepository()
  for (const name of ['a', 'b', 'c', 'd']) {
    await run(`claim acquire ${name} --ttl 10m --agent agent:one`)
    await run(`claim renew ${name} --agent agent:one`)
    await run(`claim heartbeat ${name} --json --agent agent:one`)
  }
  await run('claim acquire path:x/** env:y --json --agent agent:one')
  await run('claim acquire a --json --agent agent:two', 3)
  await run('claim check a --token 1')
  await run('claim list')
  await run('claim list --json')
  for (const name of ['a', 'b', 'c', 'd']) await run(`claim release ${name} --agent agent:one`)
  writeFileSync(cache, script.createCachedData())
} finally {
  rmSync(repository, { recursive: true, force: true })
}
