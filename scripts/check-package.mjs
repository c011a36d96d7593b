// @ts-check
/** Packs the built package as npm would and lets publint and attw judge the tarball. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const root = path.dirname(import.meta.dirname)

/** @param {string} command @param {string[]} args */
function run(command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${path.basename(command)} ${args.join(' ')} ended with code ${status}`)
}

const folder = mkdtempSync(path.join(tmpdir(), 'leasehold-pack-'))
try {
  run('npm', 'pack', '--silent', '--ignore-scripts', '--pack-destination', folder)
  const [tarball] = readdirSync(folder)
  if (tarball === undefined) throw new Error('npm pack wrote no tarball')
  const bin = path.join(root, 'node_modules/.bin')
  run(path.join(bin, 'publint'), 'run', path.join(folder, tarball), '--strict')
  run(path.join(bin, 'attw'), path.join(folder, tarball), '--profile', 'esm-only')
} finally {
  rmSync(folder, { recursive: true, force: true })
}
