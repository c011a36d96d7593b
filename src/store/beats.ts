import type { Lease } from '../core/lease.ts'
import type { BeatOperation, Operation } from '../core/operation.ts'

/**
 * Does this operation say no more than that the holder lives? A store whose engine keeps time writes no record of it; a new TTL, a note,
 * a reason, a branch, a session, a renewal that came late and one whose caller may ask for it again by its op_id are one everywhere.
 */
export const isPlainBeat = (
  operation: Operation,
  leaseOf: (resource: string) => Lease | null,
  mayBeRepeated: (opId: string) => boolean,
): operation is BeatOperation =>
  (operation.op === 'renew' || operation.op === 'heartbeat') &&
  !(operation.opId !== null && mayBeRepeated(operation.opId)) &&
  !operation.late &&
  operation.note === null &&
  operation.reason === undefined &&
  operation.branch === undefined &&
  operation.sessions === undefined &&
  operation.resources.every(resource => leaseOf(resource)?.ttlSecs === operation.ttlSecs)
