import type { Lease } from '../core/lease.ts'
import type { BeatOperation, Operation } from '../core/operation.ts'

/**
 * Does this operation say no more than that the holder lives? A store whose engine keeps time writes no record of it; a new TTL, a note,
 * a session or a renewal that came late is one everywhere.
 */
export const isPlainBeat = (operation: Operation, leaseOf: (resource: string) => Lease | null): operation is BeatOperation =>
  (operation.op === 'renew' || operation.op === 'heartbeat') &&
  !operation.late &&
  operation.note === null &&
  operation.sessions === undefined &&
  operation.resources.every(resource => leaseOf(resource)?.ttlSecs === operation.ttlSecs)
