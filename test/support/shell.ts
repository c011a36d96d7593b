import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { type Agent, executable, folder } from './cli.ts'

/** Makes `lh` of what is tested, as a program in this folder, and returns the folder: for a PATH. */
export function lhIn(bin: string): string {
  fs.mkdirSync(bin, { recursive: true })
  fs.writeFileSync(path.join(bin, 'lh'), `#!/bin/sh\nexec '${process.execPath}' '${executable}' "$@"\n`, { mode: 0o755 })
  return bin
}

/** Runs a command as it was printed, in a shell in which `lh` is what is tested; returns what it said. */
export function type(line: string, { cwd, env }: Agent): string {
  return execFileSync('/bin/sh', ['-c', line], {
    cwd,
    env: { ...process.env, ...env, PATH: `${lhIn(folder('bin-'))}:${process.env['PATH']}` },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim()
}
