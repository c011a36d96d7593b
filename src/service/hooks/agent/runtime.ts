import { accessSync, constants, existsSync, lstatSync, readFileSync, statfsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Finding } from './client.ts'

/** File systems on which the lock of one process may be unseen by another: NFS, SMB, CIFS, 9P, FUSE. */
const doubtful: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9P'],
  [0x65735546, 'FUSE'],
])

/** Failures that are older are history. */
const recentMs = 24 * 60 * 60 * 1000

/** What is wrong with the place of the session locks: hooks then run, and let everything pass. */
export function runtimeFindings(home: string, nowMs: number): readonly Finding[] {
  const directory = join(home, '.claude', 'runtime')
  const found = (severity: Finding['severity'], message: string, path = directory): Finding => ({ severity, message, path })
  const stats = lstatSync(directory, { throwIfNoEntry: false })
  if (stats !== undefined && !stats.isDirectory()) {
    const what = stats.isSymbolicLink() ? 'a symbolic link' : 'not a directory'
    return [found('error', `session locks have no place: it is ${what}, and hooks let everything pass`)]
  }
  let there = directory
  while (!existsSync(there)) there = dirname(there)
  try {
    accessSync(there, constants.W_OK | constants.X_OK)
  } catch {
    return [found('error', 'session locks have no place: it may not be written, and hooks let everything pass', there)]
  }
  const findings: Finding[] = []
  const kind = process.platform === 'linux' ? doubtful.get(statfsSync(there).type >>> 0) : undefined
  if (kind !== undefined)
    findings.push(
      found('warning', `it is on ${kind}, where locks between processes are not reliable: hooks may let everything pass`, there),
    )
  const last = lastFailure(join(directory, 'leasehold-hook.log'))
  if (last !== null && nowMs - last.atMs < recentMs)
    findings.push(found('note', `a hook failed and let pass: ${last.line}`, join(directory, 'leasehold-hook.log')))
  return findings
}

function lastFailure(file: string): { readonly atMs: number; readonly line: string } | null {
  try {
    const line = readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? ''
    const atMs = Date.parse(line.split(' ')[0] ?? '')
    return Number.isNaN(atMs) ? null : { atMs, line }
  } catch {
    return null
  }
}
