import fs from 'node:fs'

/** A random id for a new set of leases. */
export function spaceId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/uuid', 'latin1').trim()
  } catch {
    return process.getBuiltinModule('node:crypto').randomUUID()
  }
}
