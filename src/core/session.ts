import type { Binding, Witness } from './witness.ts'

// A role session: an agent that was launched for a purpose. It is recorded together with its claim, and outlives it: the agent still
// runs after its ticket is done, and what runs must be seen.

/** Why an agent was launched: for an existing ticket, to write one, or for a role of its own. */
export type SessionOrigin = 'ticket-claim' | 'pre-ticket-intake' | 'role-launch'

/** What proved that the launched agent works. */
export interface LaunchEvidence {
  /** `model-answer`, `tool-call`, `ready-fd`, `output`, `http`, `alive`, `hook`. */
  readonly kind: string
  /** What was seen, in at most 200 characters. */
  readonly seen: string
  /** False where it only did not end: "started, not confirmed". */
  readonly confirmed: boolean
  /** Wall clock, milliseconds since the epoch. */
  readonly at: number
}

/** How a client opens the session again. */
export interface Resumption {
  readonly command: readonly string[]
  /** File or directory that the client keeps the session in; null where that is not known. */
  readonly stored: string | null
}

export interface Session {
  /** ULID; also the id of the launch that made it. */
  readonly sessionId: string
  /** For people; unique among those that have not ended. */
  readonly name: string
  readonly role: string
  readonly origin: SessionOrigin
  readonly profile: string
  readonly agentId: string
  readonly worktreeId: string
  /** Where the agent runs, absolute. */
  readonly cwd: string
  /** The agent's process. */
  readonly witness: Witness | null
  /** Kept by the launcher, the agent and its children: free means that all of them are gone. */
  readonly binding: Binding | null
  /** What the client calls the session; either id is it. */
  readonly clientSessionIds: readonly string[]
  /** Full ticket ids. */
  readonly relatedTickets: readonly string[]
  /** Session ids of those it works with. */
  readonly peers: readonly string[]
  readonly evidence: LaunchEvidence
  readonly resume: Resumption | null
  /** Agent id of whoever launched it. */
  readonly launchedBy: string
  /** Wall clock, milliseconds since the epoch. */
  readonly startedAt: number
  /** As the log says; whether it is really so, facts tell (see `sessionStanding`). */
  readonly state: 'live' | 'restorable' | 'ended'
  /** Wall clock; null while it has not ended. */
  readonly endedAt: number | null
  readonly endReason: string | null
  readonly exitCode: number | null
}

/** What a machine can say of a process: `unknown` is never taken for dead. */
export type Life = 'alive' | 'dead' | 'unknown'

/**
 * What a session looks like to somebody who asks now. `gone`: proven dead, and nothing to open again. `stale`: nobody can tell whether
 * it lives, and it has been silent for longer than its TTL, or than an indefinite lease may be.
 */
export type SessionStanding = 'live' | 'restorable' | 'stale' | 'gone'

export const sessionKeyPrefix = 'session:'

/** Where the state keeps a session. */
export const sessionKey = (sessionId: string): string => `${sessionKeyPrefix}${sessionId}`

export const union = (one: readonly string[], other: readonly string[]): readonly string[] => [...new Set([...one, ...other])]

/** What begins a session again. An agent that is spoken to over ACP does nothing until it is told what. */
export const resumeCommand = ({ name, profile }: Pick<Session, 'name' | 'profile'>): string =>
  `lh session resume ${name}${profile === 'acp' ? ' --prompt "…"' : ''}`
