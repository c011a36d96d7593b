import type { AgentName } from './names.ts'

/** What a client's parser takes, as tried with the real ones: plain JSON, also with a byte order mark, or with comments (no trailing commas). */
export type Dialect = 'json' | 'json with mark' | 'json with comments'

/** Where hooks are installed: for the user, for one repository, or as a plugin in a folder of its own. */
export type Form = 'user' | 'project' | 'plugin'

/** What an installed hook tells `lh hook`. */
export type HookEvent = 'before-tool' | 'after-tool' | 'refresh' | 'stop' | 'session-start' | 'session-end'

/** Whose hooks are wired, and from where. */
export interface Surroundings {
  readonly env: NodeJS.ProcessEnv
  readonly home: string
  /** Top of the worktree, or where we are outside of Git. */
  readonly root: string
  /** The git directory that all worktrees share; null outside of Git. */
  readonly commonDir: string | null
  /** This installation of Leasehold, by absolute paths. */
  readonly program: Program
  /** `session_lock.fail` is `closed`. */
  readonly failClosed: boolean
  /** Folder of the plugin. */
  readonly plugin: string | null
}

/** What the installed line runs. */
export interface Program {
  readonly node: string
  readonly hook: string
}

/** A settings file that entries are merged into: lists at `hooks.<event>`. */
export interface Merged {
  readonly kind: 'entries'
  readonly path: string
  /** What else a new file has to have. */
  readonly members: Readonly<Record<string, unknown>>
  /** By the client's name of the event. */
  readonly entries: Readonly<Record<string, readonly unknown[]>>
}

/** A file that is ours alone. */
export interface Whole {
  readonly kind: 'text'
  readonly path: string
  readonly text: string
  /** Is this what some version of us wrote, untouched? */
  readonly isOurs: (text: string) => boolean
  /** What such a text runs, as hooks in a settings file would be. */
  readonly lines: (text: string) => readonly { readonly command: string }[]
}

/** One file that an installation writes. */
export type Target = Merged | Whole

/** Something that a person should know of the wiring. */
export interface Finding {
  /** `error`: hooks do not run, or not all that are needed. */
  readonly severity: 'error' | 'warning' | 'note'
  readonly message: string
  readonly path?: string
  readonly line?: number
}

/** What is known of one agent. */
export interface Client {
  readonly name: AgentName
  readonly title: string
  readonly forms: readonly Form[]
  readonly dialect: Dialect
  readonly targets: (form: Form, around: Surroundings) => readonly Target[]
  /** What a person still has to do, and what is worth knowing. */
  readonly next: (form: Form, around: Surroundings) => readonly string[]
  /** What keeps installed hooks from running. `installed` are the files with our entries. */
  readonly obstacles: (around: Surroundings, installed: readonly string[]) => readonly Finding[]
}
