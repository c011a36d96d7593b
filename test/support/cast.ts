import type {
  Acquire,
  AcquireFirst,
  Beat,
  Confirm,
  ForceEvict,
  Guard,
  Reclaim,
  Release,
  Resume,
  Sweep,
  Target,
  Transfer,
} from '../../src/core/command.ts'
import type { Holder, Instant, Lease } from '../../src/core/lease.ts'
import type { Policy } from '../../src/core/policy.ts'
import type { Presented } from '../../src/core/refusal.ts'
import { ulid } from '../../src/core/ulid.ts'

// The people and the commands of the tests: a test states what matters to it, everything else is filled in here.

export const holder = (agentId: string, sessionId: string | null = null, worktreeId = 'wt:00000001'): Holder => ({
  agentId,
  worktreeId,
  sessionId,
  witness: null,
})

export const ann = holder('agent:ann', 's-ann')
/** Ann's agent in the same worktree, in a later session. */
export const annAgain = holder('agent:ann', 's-ann-2')
export const bob = holder('agent:bob', 's-bob')
/** Nobody's session: absent equals only absent. */
export const eve = holder('agent:eve')

let made = 0

/** A ULID that no other call returns; far enough from the next one for the members of a group. */
export function freshId(): string {
  made += 64
  return ulid(1_700_000_000_000, Uint8Array.from([0, 0, 0, 0, 0, 0, made >>> 24, made >>> 16, made >>> 8, made]))
}

export const noProof: Presented = { leaseId: null, token: null }

/** Lease id and token: enough for anybody. */
export const proofOf = (lease: Lease): Presented => ({ leaseId: lease.leaseId, token: lease.token })

export const on = (resource: string): Target => ({ resource })

const asked = (who: Holder): { holder: Holder; opId: string; retry: boolean } => ({ holder: who, opId: freshId(), retry: false })

export const acquire = (who: Holder, resources: string | readonly string[], chosen: Partial<Acquire> = {}): Acquire => ({
  ...asked(who),
  type: 'acquire',
  resources: typeof resources === 'string' ? [resources] : resources,
  leaseId: freshId(),
  ttlSecs: null,
  branch: null,
  reason: null,
  binding: null,
  presented: noProof,
  ...chosen,
})

export const reserve = (who: Holder, resources: string | readonly string[], chosen: Partial<Acquire> = {}): Acquire =>
  acquire(who, resources, { ttlSecs: 30, ...chosen, type: 'reserve' })

export const confirm = (who: Holder, target: Target, token: number, chosen: Partial<Confirm> = {}): Confirm => ({
  ...asked(who),
  type: 'confirm',
  target,
  token,
  leaseId: freshId(),
  ttlSecs: null,
  binding: null,
  ...chosen,
})

export const renew = (who: Holder, target: Target, chosen: Partial<Beat> = {}): Beat => ({
  ...asked(who),
  type: 'renew',
  target,
  presented: noProof,
  ttlSecs: null,
  note: null,
  reason: null,
  ...chosen,
})

/** A candidate list is taken like one resource. */
export const acquireFirst = (who: Holder, candidates: readonly string[], chosen: Partial<AcquireFirst> = {}): AcquireFirst => {
  const { type: _type, resources: _resources, ...terms } = acquire(who, [])
  return { ...terms, type: 'acquire-first', candidates, ...chosen }
}

export const guard = (who: Holder, target: Target, chosen: Partial<Guard> = {}): Guard => ({
  ...asked(who),
  type: 'guard',
  target,
  presented: noProof,
  ...chosen,
})

export const release = (who: Holder, target: Target, chosen: Partial<Release> = {}): Release => ({
  ...asked(who),
  type: 'release',
  target,
  presented: noProof,
  only: false,
  reason: null,
  outcome: null,
  ...chosen,
})

export const transfer = (who: Holder, target: Target, to: Holder, chosen: Partial<Transfer> = {}): Transfer => ({
  ...asked(who),
  type: 'transfer',
  target,
  presented: noProof,
  to,
  leaseId: freshId(),
  ttlSecs: null,
  reason: 'handing over',
  ...chosen,
})

export const resume = (who: Holder, target: Target, chosen: Partial<Resume> = {}): Resume => ({
  ...asked(who),
  type: 'resume',
  target,
  binding: null,
  ...chosen,
})

export const reclaim = (who: Holder, target: Target, token: number, chosen: Partial<Reclaim> = {}): Reclaim => ({
  ...asked(who),
  type: 'reclaim',
  target,
  token,
  leaseId: freshId(),
  reason: 'nobody answers',
  ...chosen,
})

export const evict = (who: Holder, target: Target, chosen: Partial<ForceEvict> = {}): ForceEvict => ({
  ...asked(who),
  type: 'force-evict',
  target,
  reason: 'a person said so',
  token: null,
  ...chosen,
})

export const sweep = (who: Holder, resource: string | null = null): Sweep => ({ ...asked(who), type: 'sweep', resource })

/** Small numbers, so that limits, staleness and expiry are all reached within a short history. */
export const tightPolicy: Policy = { ttlSecs: 10, staleSecs: 20, maxIndefinitePerAgent: 2, maxIndefinitePerRepo: 3 }

/** A clock that stands until a test moves it. */
export class StillClock {
  m: number
  readonly #wallAtZero: number

  constructor(m = 1000, wallAtZero = 1_760_000_000_000) {
    this.m = m
    this.#wallAtZero = wallAtZero
  }

  readonly now = (): Instant => ({ b: 'boot1.ns1', m: this.m, wall: this.#wallAtZero + this.m })

  advance(ms: number): void {
    this.m += ms
  }
}
