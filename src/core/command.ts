import type { Binding, Holder, Witness } from './lease.ts'
import type { Presented } from './refusal.ts'
import type { LaunchEvidence, Resumption, Session } from './session.ts'

// What can be asked of the rules. Ids are made by the caller: the core makes none.

/** What every command that changes something carries. Ids are made by the caller: the core makes none. */
export interface Asked {
  /** Identity of the one who asks. */
  readonly holder: Holder
  readonly opId: string
  /** The caller chose `opId` and may be repeating a command whose answer was lost. */
  readonly retry: boolean
}

/** Names a lease by its key or by its id. */
export type Target = { readonly resource: string } | { readonly leaseId: string }

/** Take resources, all or nothing. */
export interface Acquire extends Asked {
  readonly type: 'acquire' | 'reserve'
  readonly resources: readonly string[]
  /** A fresh ULID; the members of a group get consecutive ones. */
  readonly leaseId: string
  /** Seconds, 0 = indefinite; null = the policy's, or unchanged when it is already held. */
  readonly ttlSecs: number | null
  readonly branch: string | null
  /** What whoever asks said of their own accord: what they hold already gets it too. */
  readonly news?: { readonly reason?: string; readonly branch?: string }
  readonly reason: string | null
  readonly binding: Binding | null
  readonly presented: Presented
  /** Also what its last holder finished: to close it, to reopen it or to correct its text. */
  readonly finishedToo?: boolean
  /** The caller's own launch: what is reserved for it is not in its way. */
  readonly launchId?: string
}

/** Take the first of several that nobody holds; one that the caller holds is not given to it a second time. */
export interface AcquireFirst extends Omit<Acquire, 'type' | 'resources'> {
  readonly type: 'acquire-first'
  /** In order of preference. */
  readonly candidates: readonly string[]
}

/** Show that the lease is still the caller's, for an effect in the same locked step; renews it when its deadline has passed. */
export interface Guard extends Asked {
  readonly type: 'guard'
  readonly target: Target
  readonly presented: Presented
}

/** Turn a reservation into a claim of the agent that was launched. */
export interface Confirm extends Asked {
  readonly type: 'confirm'
  readonly target: Target
  readonly token: number
  /** A fresh ULID for the new ownership. */
  readonly leaseId: string
  readonly ttlSecs: number | null
  readonly binding: Binding | null
}

/** Say that the holder lives. */
export interface Beat extends Asked {
  readonly type: 'renew' | 'heartbeat'
  readonly target: Target
  readonly presented: Presented
  /** A new TTL in seconds, or null to keep it. */
  readonly ttlSecs: number | null
  readonly note: string | null
  readonly reason: string | null
}

/** Give back. */
export interface Release extends Asked {
  readonly type: 'release'
  readonly target: Target
  readonly presented: Presented
  /** Split this one off its group. */
  readonly only: boolean
  readonly reason: string | null
  readonly outcome: string | null
}

/** Hand over to another holder. */
export interface Transfer extends Asked {
  readonly type: 'transfer'
  readonly target: Target
  readonly presented: Presented
  readonly to: Holder
  /** A fresh ULID for the new ownership. */
  readonly leaseId: string
  readonly ttlSecs: number | null
  readonly reason: string
  /** To another session, with what belongs to the work: its peers, its tickets, and the process that it is bound to. */
  readonly toSession?: string
}

/** The same agent goes on in another session; the old session's token ends. */
export interface Resume extends Asked {
  readonly type: 'resume'
  readonly target: Target
  readonly binding: Binding | null
}

/** Take over a stale indefinite lease, guarded by the token read just before. */
export interface Reclaim extends Asked {
  readonly type: 'reclaim'
  readonly target: Target
  readonly token: number
  /** A fresh ULID for the new ownership. */
  readonly leaseId: string
  readonly reason: string | null
}

/** A person ends somebody's lease. */
export interface ForceEvict extends Asked {
  readonly type: 'force-evict'
  readonly target: Target
  readonly reason: string
  /** Evict only this ownership, if given. */
  readonly token: number | null
}

/** Let the work of an ownership through although its lease was lost; recorded, and nothing else. */
export interface Allow extends Asked {
  readonly type: 'allow'
  readonly resource: string
  /** The ownership: the one that holds now, or one of before. */
  readonly token: number
  /** Its lease id, which whoever asks has looked up. */
  readonly leaseId: string
  readonly reason: string
}

/** Evict what time or a proven death has ended; everything, or one key. */
export interface Sweep extends Asked {
  readonly type: 'sweep'
  readonly resource: string | null
}

/** Record the claim of an agent that was launched for these keys and seen to work, together with its session. */
export interface Launch extends Asked {
  readonly type: 'launch'
  /** The ticket first; none for a session without one. */
  readonly resources: readonly string[]
  /** A fresh ULID; the members of a group get consecutive ones. */
  readonly leaseId: string
  readonly ttlSecs: number | null
  readonly branch: string | null
  readonly reason: string | null
  readonly binding: Binding | null
  /** As it begins. */
  readonly session: Session
  readonly launchId: string
  /** Of the reservation, where that is a record. */
  readonly token: number | null
}

/** The agent of a session ended. */
export interface Depart extends Asked {
  readonly type: 'depart'
  readonly sessionId: string
  /** The agent that ended: once another one works, what is said of it comes too late. Null: whichever the session has. */
  readonly agent: Pick<Session, 'witness' | 'binding'> | null
  readonly exitCode: number | null
  readonly reason: string
  /** Keep the claim if the client can open the session again. */
  readonly keep: boolean
}

/** Take a session that can be opened again for oneself, while its agent starts. */
export interface HoldSession extends Asked {
  readonly type: 'hold-session'
  readonly sessionId: string
  /** Where a reservation is a record: it is on the session's own name, has this lease id, and lapses after so many seconds. Null: it is a lock. */
  readonly record: { readonly leaseId: string; readonly ttlSecs: number } | null
}

/** The agent of a session works again. */
export interface ResumeSession extends Asked {
  readonly type: 'resume-session'
  readonly sessionId: string
  readonly witness: Witness | null
  readonly binding: Binding | null
  readonly evidence: LaunchEvidence
  /** New, where the client says how it is opened now. */
  readonly resume: Resumption | null
  readonly clientSessionIds: readonly string[]
  /** Of the reservation, where that is a record. */
  readonly token: number | null
}

/** End a session, and the leases that it has. */
export interface EndSession extends Asked {
  readonly type: 'end-session'
  readonly sessionId: string
  readonly reason: string
  /** By somebody else than its own. */
  readonly force: boolean
  /** Only one of which nobody can tell whether it lives. */
  readonly staleOnly: boolean
  /** As the log has it that ended in the meantime: what was said for its end is kept all the same. */
  readonly ended?: Session
}

/** Another id by which the client calls a session. */
export interface TellSession extends Asked {
  readonly type: 'tell-session'
  readonly sessionId: string
  /** As for `Depart`. */
  readonly agent: Pick<Session, 'witness' | 'binding'> | null
  readonly clientSessionId: string
  readonly resume: Resumption | null
}

export type SessionCommand = Depart | HoldSession | ResumeSession | EndSession | TellSession

export type Command =
  | Acquire
  | AcquireFirst
  | Guard
  | Confirm
  | Beat
  | Release
  | Transfer
  | Resume
  | Reclaim
  | ForceEvict
  | Allow
  | Sweep
  | Launch
  | SessionCommand
