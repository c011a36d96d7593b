import { Fault } from '../../core/fault.ts'

/** The first version of each line that keeps what it acknowledged: before it a single member could lose it in a crash (etcd issue 14370). */
const safeSince: Readonly<Record<string, number>> = { '3.4': 21, '3.5': 5 }

/** The first version of each line that does not revoke leases after a long stall of the disk (etcd issue 15247). */
const calmSince: Readonly<Record<string, number>> = { '3.4': 31, '3.5': 13 }

const parse = (version: string): { readonly line: string; readonly patch: number; readonly old: boolean } | null => {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []
  if (patch === undefined) return null
  return { line: `${major}.${minor}`, patch: Number(patch), old: Number(major) < 3 || (Number(major) === 3 && Number(minor) < 4) }
}

/** Throws `unavailable` for a version that can lose what it acknowledged, and for what is no etcd. */
export function refuseVersion(version: string, endpoint: string): void {
  const found = parse(version)
  const safe = found === null ? undefined : safeSince[found.line]
  if (found !== null && !found.old && (safe === undefined || found.patch >= safe)) return
  throw new Fault(
    'unavailable',
    found === null
      ? `${endpoint} is no etcd that tells its version`
      : `${endpoint} runs etcd ${version}, which can lose what it acknowledged`,
    { hint: 'use 3.5.13 or later, or at least 3.4.21', details: { outcome: 'nothing_changed', endpoint } },
  )
}

/** What a person should know of this version, or null. */
export function versionWarning(version: string, endpoint: string): string | null {
  const found = parse(version)
  const calm = found === null ? undefined : calmSince[found.line]
  return found === null || calm === undefined || found.patch >= calm
    ? null
    : `${endpoint} runs etcd ${version}: after a stall it may end engine leases early. No claim is lost by that; use 3.5.13 or later`
}
