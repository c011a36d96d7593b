// @ts-check
/** Runs `lh demo` from this checkout; builds first if there is no build. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'

const root = path.dirname(import.meta.dirname)
const executable = path.join(root, 'dist/bin/lh.cjs')

/** @param {string[]} args */
function node(...args) {
  const { status, error } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

if (!existsSync(executable)) node(path.join(root, 'scripts/build.mjs'))
node(executable, 'demo', ...process.argv.slice(2))
