import { isFault, notFound, usage } from '../../core/fault.ts'
import type { Adopted, Compacted, Finding, LimitChange, Maintenance, Severity } from '../maintenance.ts'
import { refuseMoved } from '../moved.ts'
import type { Reading } from '../store.ts'
import { alarmPath, certificateHint, codes, isEngineError } from './gateway.ts'
import { askMembers } from './health.ts'
import type { Asked } from './health.ts'
import { only, pairsOf } from './messages.ts'
import type { RangeAnswer } from './messages.ts'
import { places } from './positions.ts'
import { pruneLog } from './retention.ts'
import type { EtcdStore } from './store.ts'
import { writeSettings } from './settings.ts'
import { settingsFromValue } from './values.ts'
import type { SpaceSettings } from './values.ts'
import { verifySpace } from './verify.ts'
import { refuseVersion, versionWarning } from './version.ts'

/** A database that is so full, as a part of its quota, is said to be. */
const fullPart = 0.8

/** The quota that etcd has when nobody sets one, bytes; what capacity is counted with is four times that. */
const usualQuota = 2 * 1024 ** 3

/** After so many revisions something should have been compacted away. */
const manyRevisions = 50_000

/** A write that takes longer is felt by everybody, milliseconds. */
const slowMs = 100

/** Looking after leases in etcd. The log is etcd's own, so there is nothing in files to mend. */
export const maintenanceOf = (store: EtcdStore): Maintenance => ({
  location: store.location,
  verify: onProgress => verifySpace(store.gateway, store.names, store.location, onProgress),
  recover: () =>
    Promise.resolve({ mended: [], cutLines: 0, cutBytes: 0, quarantine: null, index: 'kept', indexTrouble: null, removed: [] }),
  inspect: () => inspect(store),
  adopt: how =>
    how === 'restored' ? restored(store) : Promise.reject(notInFiles(store, 'after a backup was restored: lh doctor --restored')),
  compact: keepMs => compact(store, keepMs),
  setLimits: change => setLimits(store, change),
})

const notInFiles = ({ location }: EtcdStore, hint: string): Error =>
  usage(`${location} keeps no log in files, so there is nothing of it to look after here`, hint)

const finding = (severity: Severity, code: string, message: string, fix: string | null): Finding => ({
  severity,
  code,
  file: null,
  line: null,
  message,
  fix,
})

async function inspect(store: EtcdStore): Promise<readonly Finding[]> {
  const members = await askMembers(store.gateway)
  const findings = [...transport(store), ...members.flatMap(memberFindings), ...quorum(members)]
  if (findings.some(({ code }) => code === 'no-quorum')) return findings
  for (const check of [alarms, quotas, compaction, expiry, latency, space, leases])
    try {
      // oxlint-disable-next-line no-await-in-loop -- latency is measured undisturbed
      findings.push(...(await check(store, members)))
    } catch (error) {
      findings.push(failed(error))
    }
  return findings
}

function failed(error: unknown): Finding {
  const message = error instanceof Error ? error.message : String(error)
  return finding('error', 'check-failed', message, isFault(error) ? (error.hint ?? null) : null)
}

function transport({ gateway }: EtcdStore): readonly Finding[] {
  const open = gateway.endpoints.filter(
    endpoint => endpoint.startsWith('http:') && !/^http:\/\/(127\.|localhost[:/]|\[::1\])/.test(endpoint),
  )
  return open.length === 0
    ? []
    : [
        finding(
          'warning',
          'no-tls',
          `${open.join(', ')}: everybody on the way can read and change what is sent`,
          'use etcds:// and certificates: see docs/etcd.md',
        ),
      ]
}

function memberFindings({ endpoint, status, error }: Asked): readonly Finding[] {
  if (status === null)
    return [
      finding(
        'warning',
        'member-silent',
        `${endpoint} does not answer (${error})`,
        certificateHint(error ?? '') ?? `see whether it runs: etcdctl --endpoints ${endpoint} endpoint status`,
      ),
    ]
  const told = [
    ...((status.leader ?? '0') === '0' ? [finding('warning', 'member-leaderless', `${endpoint} knows no leader`, 'see its own log')] : []),
    finding('info', 'member', `${endpoint}: etcd ${status.version}${status.leader === status.header.member_id ? ', leads' : ''}`, null),
  ]
  try {
    refuseVersion(status.version, endpoint)
  } catch (refused) {
    return [...told, finding('error', 'version-unsafe', (refused as Error).message, 'use 3.5.13 or later, or at least 3.4.21')]
  }
  const warned = versionWarning(status.version, endpoint)
  return warned === null ? told : [...told, finding('warning', 'version-old', warned, 'use 3.5.13 or later')]
}

function quorum(members: readonly Asked[]): readonly Finding[] {
  const knowing = members.filter(({ status }) => status !== null && (status.leader ?? '0') !== '0')
  if (knowing.length === 0)
    return [
      finding(
        'error',
        'no-quorum',
        'no member that answers knows a leader: who holds what is unknown',
        'start the members that are missing',
      ),
    ]
  if (members.length === 1)
    return [
      finding('info', 'one-endpoint', 'the URL names one member: when it is away, so are the leases', 'name all of them, between commas'),
    ]
  return []
}

async function alarms({ gateway }: EtcdStore): Promise<readonly Finding[]> {
  const { body } = await gateway.call<{ alarms?: readonly { alarm?: string; memberID?: string }[] }>(alarmPath, {
    action: 'GET',
  })
  return (body.alarms ?? []).map(({ alarm = 'an alarm' }) =>
    finding(
      'error',
      'alarm',
      `etcd has the alarm ${alarm}: it takes no more writes`,
      alarm === 'NOSPACE' ? 'compact, defragment, then: etcdctl alarm disarm' : 'see the etcd documentation of this alarm',
    ),
  )
}

/** Quota and size are each member's own. */
async function quotas({ gateway }: EtcdStore, members: readonly Asked[]): Promise<readonly Finding[]> {
  const told = members.filter(({ status }) => status !== null)
  return (await Promise.all(told.map(async each => quotaOf(each, await gateway.read(each.endpoint, '/metrics').catch(() => ''))))).flat()
}

function quotaOf({ endpoint, status }: Asked, metrics: string): readonly Finding[] {
  const quota = Number(/^etcd_server_quota_backend_bytes ([0-9.e+]+)$/m.exec(metrics)?.[1] ?? Number.NaN)
  const size = Number(status?.dbSize ?? 0)
  const inMegabytes = (bytes: number): string => `${Math.round(bytes / 1e6)} MB`
  if (Number.isNaN(quota)) return [finding('info', 'database', `${endpoint}: ${inMegabytes(size)}; its quota is not shown to us`, null)]
  const message = `${endpoint}: its database has ${inMegabytes(size)} of ${inMegabytes(quota)}`
  if (size > quota * fullPart)
    return [finding('warning', 'database-nearly-full', message, 'compact and defragment, or raise --quota-backend-bytes')]
  return [finding('info', 'database', message, quota <= usualQuota ? 'for many leases: --quota-backend-bytes=8589934592' : null)]
}

/** The setting itself is not told; that nothing was ever compacted is. */
async function compaction({ gateway, names }: EtcdStore, members: readonly Asked[]): Promise<readonly Finding[]> {
  const revision = Math.max(...members.map(({ status }) => Number(status?.header.revision ?? 0)))
  if (revision < manyRevisions) return []
  try {
    await gateway.call<RangeAnswer>('/v3/kv/range', { ...only(names.cfg), revision: '1' })
  } catch (error) {
    if (isEngineError(error, codes.outOfRange)) return []
    throw error
  }
  return [
    finding(
      'warning',
      'never-compacted',
      `all ${revision} revisions are kept, so the database only grows`,
      'start etcd with --auto-compaction-mode=periodic --auto-compaction-retention=1h',
    ),
  ]
}

/**
 * Does an engine lease run as fast as our own monotonic clock? No wall clock is compared, so none has to be right: only that time passes
 * there as it does here.
 */
async function expiry({ gateway }: EtcdStore): Promise<readonly Finding[]> {
  const granted = 5
  const { body } = await gateway.call<{ ID: string }>('/v3/lease/grant', { ID: '0', TTL: String(granted) })
  const began = performance.now()
  await new Promise(resolve => setTimeout(resolve, 1500))
  const left = await gateway.call<{ TTL?: string }>('/v3/lease/timetolive', { ID: body.ID })
  const [passed, remaining] = [(performance.now() - began) / 1000, Number(left.body.TTL ?? 0)]
  await gateway.call('/v3/lease/revoke', { ID: body.ID }).catch(() => undefined)
  // It tells whole seconds, rounded down.
  const isWrong = remaining > granted - passed + 0.5 || remaining < granted - passed - 1.5
  const message = `after ${passed.toFixed(1)} s an engine lease of ${granted} s has ${remaining} s left`
  return isWrong
    ? [
        finding(
          'error',
          'engine-clock',
          message,
          'its leader does not count time as this machine does: see whether it is paused or overloaded',
        ),
      ]
    : []
}

/** A read that a majority vouches for, and a write that a majority has synced. */
async function latency({ gateway, names }: EtcdStore): Promise<readonly Finding[]> {
  const reads: number[] = []
  const written: number[] = []
  for (let turn = 0; turn < 7; turn++) {
    const began = performance.now()
    // oxlint-disable-next-line no-await-in-loop -- one after the other is what is measured
    await gateway.call('/v3/kv/range', only(names.cfg))
    const read = performance.now()
    // oxlint-disable-next-line no-await-in-loop -- as above
    const { body } = await gateway.call<{ ID: string }>('/v3/lease/grant', { ID: '0', TTL: '5' })
    reads.push(read - began)
    written.push(performance.now() - read)
    // oxlint-disable-next-line no-await-in-loop -- as above
    await gateway.call('/v3/lease/revoke', { ID: body.ID })
  }
  const [read, write] = [median(reads), median(written)]
  const message = `a read takes ${read.toFixed(1)} ms, a write ${write.toFixed(1)} ms (median of 7, at ${gateway.endpoint})`
  return [
    write > slowMs
      ? finding('warning', 'slow', message, 'a disk that syncs slowly, or a long way between the members')
      : finding('info', 'latency', message, null),
  ]
}

const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0

async function space({ gateway, names, location }: EtcdStore): Promise<readonly Finding[]> {
  const [pair] = pairsOf((await gateway.call<RangeAnswer>('/v3/kv/range', only(names.cfg))).body)
  if (pair === undefined) return [finding('info', 'no-store', `nothing is in ${location} yet; the first claim makes it`, null)]
  try {
    refuseMoved(settingsFromValue(pair.value, location).move, location, true)
    return []
  } catch (error) {
    return [{ ...failed(error), code: 'moved' }]
  }
}

async function leases(store: EtcdStore): Promise<readonly Finding[]> {
  const view = await store.view().catch(() => null)
  return view === null ? [] : [...silent(view)]
}

function* silent(view: Reading): Generator<Finding> {
  for (const lease of view.all())
    if (view.lapse(lease).state !== 'running')
      yield finding(
        'info',
        'lease-silent',
        `${lease.resource}, held by ${lease.holder.agentId}, who is silent; the next claim weighs it`,
        'lh doctor --fix',
      )
}

/**
 * How far positions jump after a backup was restored: what was written since is gone, and with it how many revisions that were. At a
 * thousand in a second they are eleven days.
 */
const restoredJump = 1_000_000_000 * places

/** The revisions of a restored cluster were given before, to others: from now on they are counted from further up. */
async function restored(store: EtcdStore): Promise<Adopted> {
  const { space, tokenBase } = await changeSettings(store, settings => ({ ...settings, tokenBase: settings.tokenBase + restoredJump }))
  return { changed: true, space, quarantine: null, lastSeq: tokenBase }
}

/** Changes the limits that all who use the space share. False when there is no space yet, or nothing to change. */
async function setLimits(store: EtcdStore, change: LimitChange): Promise<boolean> {
  let isOther = false
  await changeSettings(store, settings => {
    const limits = { ...settings.limits, ...change }
    isOther = JSON.stringify(limits) !== JSON.stringify(settings.limits)
    return { ...settings, limits }
  }).catch(error => {
    if (!isFault(error) || error.code !== 'not_found') throw error
  })
  return isOther
}

/** Drops old records; those of what is held or finished say no less afterwards. Etcd compacts its own history by itself. */
async function compact({ gateway, names, location }: EtcdStore, keepMs = Number.POSITIVE_INFINITY): Promise<Compacted> {
  const nothing = { bytesBefore: 0, bytesAfter: 0, archived: [] }
  const [pair] = pairsOf((await gateway.call<RangeAnswer>('/v3/kv/range', only(names.cfg))).body)
  if (pair === undefined) return { ...nothing, pruned: 0 }
  const { tokenBase, move } = settingsFromValue(pair.value, location)
  refuseMoved(move, location, true)
  const { records } = await pruneLog(gateway, names, Date.now() - keepMs, tokenBase, pair.mod)
  return { ...nothing, pruned: records }
}

/** Rewrites what holds for the space as a whole. Throws `not_found` where there is none. */
async function changeSettings(store: EtcdStore, change: (settings: SpaceSettings) => SpaceSettings): Promise<SpaceSettings> {
  const { gateway, names, location } = store
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- read again when somebody else was faster
    const [pair] = pairsOf((await gateway.call<RangeAnswer>('/v3/kv/range', only(names.cfg))).body)
    if (pair === undefined) throw notFound(`nothing is in ${location} yet`)
    const changed = change(settingsFromValue(pair.value, location))
    // oxlint-disable-next-line no-await-in-loop -- as above
    if ((await writeSettings(store, changed, pair.mod)) !== null) return changed
  }
}
