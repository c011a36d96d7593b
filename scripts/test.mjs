// @ts-check
/**
 * Builds, runs the tests and ends with one plain line: `N passed, N failed[, N skipped]`. Each skip is listed with its reason.
 *
 * Fails on a failed test, on an error outside the tests, when no test ran, on a skip without a reason, and with LEASEHOLD_REQUIRE_ALL=1
 * on any skip. `--no-build` uses `dist` as it is; other arguments go to vitest (`npm test -- test/unit -t acquire`).
 */
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseCLI, startVitest } from 'vitest/node'

const root = path.dirname(import.meta.dirname)
const args = process.argv.slice(2)
const requireAll = process.env['LEASEHOLD_REQUIRE_ALL'] === '1'

if (!args.includes('--no-build')) {
  const { status } = spawnSync(process.execPath, [path.join(root, 'scripts/build.mjs')], { cwd: root, stdio: 'inherit' })
  if (status !== 0) {
    console.log('0 passed, 1 failed')
    process.exit(1)
  }
}

delete process.env['NODE_EXTRA_CA_CERTS']
const modeBefore = statSync(tmpdir()).mode
const { filter, options } = parseCLI(['vitest', 'run', ...args.filter(arg => arg !== '--no-build')])
const vitest = await startVitest('test', filter, { ...options, root, watch: false })

let passed = 0
let failed = vitest.state.getUnhandledErrors().length
/** @type {{ name: string, reason: string | undefined }[]} */
const skipped = []

for (const file of vitest.state.getTestModules()) {
  let failedInside = 0
  for (const test of file.children.allTests()) {
    const result = test.result()
    if (result.state === 'passed') passed++
    else if (result.state === 'skipped') {
      const name = `${file.relativeModuleId} > ${test.fullName}`
      skipped.push({ name, reason: result.note ?? /\[skip: (.+?)\]/.exec(test.fullName)?.[1] })
    } else failedInside++
  }
  // A file or a hook that failed without failing a test of its own counts once.
  if (failedInside === 0 && !file.ok()) failedInside = 1
  failed += failedInside
}
await vitest.close()
// It belongs to every user of the machine; a test that runs as root could take it from them.
if (statSync(tmpdir()).mode !== modeBefore) {
  console.log(`A test has changed the mode of ${tmpdir()}, which is an error.`)
  failed++
}

const unexplained = skipped.filter(skip => skip.reason === undefined).length
// What no package can bring (test/support/skip.ts, `beyond`).
const beyond = skipped.filter(skip => skip.reason?.startsWith('not of this machine: ')).length
if (skipped.length > 0) console.log('Skipped:')
for (const { name, reason } of skipped)
  console.log(`  ${name}: ${reason ?? 'NO REASON GIVEN, which is an error (see test/support/skip.ts)'}`)
if (requireAll && skipped.length > beyond)
  console.log('LEASEHOLD_REQUIRE_ALL=1: each of these skips counts as a failure, but for those that are not of this machine.')
if (passed + failed === 0) console.log('No test ran, which is an error.')

const wrong = failed + (requireAll ? skipped.length - beyond : unexplained) + (passed + failed === 0 ? 1 : 0)
// stdout may be a pipe: leave by exit code, so that the last line is written.
process.exitCode = wrong === 0 ? 0 : 1
const skips = requireAll ? beyond : skipped.length - unexplained
console.log(`${passed} passed, ${wrong} failed${skips > 0 ? `, ${skips} skipped` : ''}`)
