// The session lock as a library: `leasehold/session-lock`. Pure, with its reading and writing handed in.
export {
  acquire,
  computeWorkspaceHash,
  decide,
  DEFAULT_TTL_MS,
  LOCK_DEFAULT_TTL_MS,
  refresh,
  release,
  workspaceHash,
} from './service/session-lock/lock.ts'
export type { AcquireResult, LockIO, LockRecord, LockRequest, Moment, Verdict } from './service/session-lock/lock.ts'
