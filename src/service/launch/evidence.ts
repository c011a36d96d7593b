import type { Program } from '../hooks/agent/client.ts'

// What proves that a launched agent works. A process, a handshake or a session id prove nothing: all three are there with a wrong key.

/** What was seen that proves the agent works; stored in the log. */
export interface Evidence {
  readonly kind: 'model-answer' | 'tool-call' | 'ready-fd' | 'output' | 'http' | 'alive' | 'hook'
  /** At most 200 printable characters, never a secret, never the prompt and nothing that the model said. */
  readonly seen: string
  /** False for `alive`: started, not confirmed. */
  readonly confirmed: boolean
}

/** What a judge thinks now. An acceptance or a rejection is its last word: later lines change nothing. */
export type Verdict =
  | {
      readonly state: 'waiting'
      /** The last rung that was reached, for people: `client started`, `prompt taken`, `API said 529, retry 2 of 10`. */
      readonly step: string | null
    }
  | { readonly state: 'accepted'; readonly evidence: Evidence }
  | {
      readonly state: 'rejected'
      /** At most 200 printable characters, without secrets of the environment. */
      readonly reason: string
    }

/** What an installed hook of the launched agent reported (`hookReportOf` makes it of the client's payload). */
export interface HookReport {
  /** In one spelling for all clients: `session-start`, `user-prompt-submit`, `pre-tool-use`, `stop`, `stop-failure`, `session-end` … */
  readonly event: string
  readonly client: string
  readonly sessionId: string | null
  readonly pid: number | null
  readonly tool: string | null
  readonly error: string | null
}

/** Judges one launch, fed with what the launcher sees. Pure but for its own state; has no clock; garbage never throws. */
export interface Judge {
  /** One line of the agent's standard output, without its newline. */
  stdout(line: string): Verdict
  hook(report: HookReport): Verdict
  /** What the client calls its session, as soon as it is known. */
  readonly clientSessionId: string | null
}

/** How a command is started so that its launch can be judged. */
export interface Prepared {
  readonly command: readonly string[]
  /** `stdout`: the launcher reads standard output and hands it on; `acp`: both pipes belong to `runAcp`. */
  readonly stdio: 'inherit' | 'stdout' | 'acp'
  /** `needed`: without a report of a hook there will be no acceptance. */
  readonly hooks: 'needed' | 'helpful' | 'no'
  readonly judge: Judge
  /** Fixed before the start, where the client allows it. */
  readonly clientSessionId: string | null
  readonly warnings: readonly string[]
}

/** How a session is opened again. */
export interface Resumable {
  readonly command: readonly string[]
  /**
   * The file or directory whose presence proves that the client still has the session; null: cannot be known. Where the name holds a time
   * that only the client knew, it is the file that was found, else a pattern, which is there as little as the session.
   */
  readonly stored: string | null
}

/** What `--ready` asks the launcher to wait for. */
export type Ready =
  | { readonly kind: 'fd' }
  | { readonly kind: 'output'; readonly regex: RegExp }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'alive'; readonly ms: number }
  | { readonly kind: 'hook' }

/** What is to be launched. */
export interface LaunchRequest {
  /** As the user gave it. */
  readonly command: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** Standard input and output are a terminal that the agent may have. */
  readonly interactive: boolean
  /** What `--ready` asked for; only the profile `command` takes one. */
  readonly ready: Ready | null
  /** Our hooks are wired for this client and would run. */
  readonly hooksInstalled: boolean
  /** This installation, for hooks that are added for one launch. */
  readonly program: Program
}

/** What is asked about a session that was launched before. */
export type ResumeRequest = Pick<LaunchRequest, 'command' | 'env' | 'cwd'>

/** The agents whose launch is understood, `command` for any other. */
export const profileNames = ['claude', 'codex', 'gemini', 'qwen', 'acp', 'command'] as const

/** One of them. */
export type ProfileName = (typeof profileNames)[number]

/** Is this the name of a profile? */
export const isProfileName = (name: string): name is ProfileName => (profileNames as readonly string[]).includes(name)

/** What is known of one kind of agent. */
export interface Profile {
  readonly name: ProfileName
  /** Throws `usage` for a command that cannot be launched in this profile. */
  prepare(request: LaunchRequest): Prepared
  /** Null: such a session cannot be opened again. Looks at the client's files; `command` is the one that was launched. */
  resumable(clientSessionId: string, request: ResumeRequest): Resumable | null
}
