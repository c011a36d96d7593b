import type { ChildProcess } from 'node:child_process'
import type { Writable } from 'node:stream'
import type { Caller } from '../../coordinator.ts'
import type { SessionOrigin } from '../../core/session.ts'
import type { Patience } from '../claim/when-free.ts'
import type { Workspace } from '../claim/workspace.ts'
import type { Prepared, Profile, Ready, Verdict } from './evidence.ts'

/** What is to be launched, for what, and by whom. */
export interface LaunchOrder {
  /** Of the worktree that the agent works in. */
  readonly workspace: Workspace
  /** The launcher. */
  readonly caller: Caller
  /** Whom the agent acts as; null makes a name of its session's. */
  readonly agentId: string | null
  /** Full id; null for a session without one. */
  readonly ticket: string | null
  /** Keys that are claimed, the ticket's first. */
  readonly resources: readonly string[]
  readonly branch: string | null
  readonly ttlSecs: number | null
  readonly role: string
  /** Finds the session's name, once there is a session to be named. */
  readonly name: () => Promise<string>
  readonly origin: SessionOrigin
  /** Session ids. */
  readonly peers: readonly string[]
  /** Null refuses at once what somebody else has. */
  readonly wait: Patience | null
  readonly start: StartOrder
}

/** Speaks to an agent whose standard input and output are ours; tells what it sees. */
export type Dialogue = (child: ChildProcess, heard: Heard, signal: AbortSignal) => Promise<unknown>

/** What a dialogue tells of the agent. */
export interface Heard {
  readonly onVerdict: (verdict: Verdict) => void
  /** What the agent calls its session. */
  readonly onSession: (clientSessionId: string) => void
}

/** How an agent is started, for the first time or again. */
export interface StartOrder {
  readonly profile: Profile
  readonly prepared: Prepared
  readonly ready: Ready | null
  readonly readyTimeoutMs: number
  /** As it was given. */
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** The agent gets the terminal. */
  readonly terminal: boolean
  /** Ours, where the agent's goes. Asking for it loads Node's streams, so nobody does before the agent runs. */
  readonly stdout: () => Writable
  /** What an agent is told whose standard input is ours. */
  readonly dialogue: Dialogue | null
  /** Leave the agent alone when its claim could not be recorded. */
  readonly keep: boolean
  readonly warn: (text: string) => void
}
