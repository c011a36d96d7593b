import type { Maintenance, Progress, Verified, VerifyFault } from '../../store/maintenance.ts'
import type { Report } from './report.ts'
import { bad, count, fine } from './report.ts'

/** `lh verify`: reads everything; exit 7 when the log is not what it was. */
export async function verifyReport(maintenance: Maintenance, onProgress?: Progress): Promise<Report> {
  const verified = await maintenance.verify(onProgress)
  const { records, segments, keys, bytes, firstSeq, lastSeq, leases, tornBytes, foreign, faults, moreFaults } = verified
  const fix = keys === undefined ? 'lh recover' : null
  const findings = faults.map(({ file, key, line, offset, seq, message }) => ({
    severity: 'error',
    code: 'log-damaged',
    file,
    ...(key === undefined ? {} : { key }),
    line,
    offset,
    seq,
    message,
    fix,
  }))
  const document = {
    records,
    segments,
    ...(keys === undefined ? {} : { keys }),
    bytes,
    first_seq: firstSeq,
    last_seq: lastSeq,
    leases,
    torn_bytes: tornBytes,
    newer: foreign,
    findings,
    count: faults.length + moreFaults,
  }
  if (faults.length === 0) return { ...fine(document, [summary(verified)]), warnings: warningsOf(verified) }
  const first = faults[0]!
  const error = {
    code: 'unavailable',
    exit: 7,
    message: `${count(faults.length + moreFaults, 'fault')} in the log of ${maintenance.location}: ${described(first)}`,
    hint:
      keys === undefined
        ? 'what is held may not be what was granted; see what would be cut: lh recover'
        : 'what is held may not be what was granted; nothing mends that but a backup: see docs/etcd.md',
  } as const
  const more = moreFaults > 0 ? [`… and ${moreFaults} more`] : []
  return { ...bad(error, document, [...faults.map(described), ...more, summary(verified)]), warnings: warningsOf(verified) }
}

function summary({ records, segments, keys, lastSeq, leases }: Verified): string {
  const where = keys === undefined ? `in ${count(segments, 'segment')}` : `about ${count(keys, 'key')}`
  return records === 0
    ? 'nothing was recorded yet'
    : `${count(records, 'record')} ${where}, the last one is ${lastSeq}; ${count(leases, 'lease')}`
}

const described = ({ file, key, line, seq, message }: VerifyFault): string =>
  `${file ?? key}${line === null ? '' : `:${line}`}: ${message}${seq === null ? '' : ` (seq ${seq})`}`

function warningsOf({ tornBytes, foreign }: Verified): readonly string[] {
  return [
    ...(tornBytes > 0 ? [`the last append was cut short (${tornBytes} bytes, never acknowledged); the next claim mends it`] : []),
    ...(foreign === null
      ? []
      : [`record ${foreign.seq} ("${foreign.op}") is of a newer Leasehold; what follows it was checked for its chain only`]),
  ]
}
