/** The closed set of ways a command can end badly. Exit codes are assigned to these names at the door, nowhere else. */
export type ErrorCode =
  | 'internal'
  | 'usage'
  | 'held'
  | 'not_found'
  | 'not_owner'
  | 'superseded'
  | 'unavailable'
  | 'policy'
  | 'timeout'
  | 'launch_failed'

/** What a fault can tell beside its message. */
export interface FaultOptions {
  /** The next command or step, one sentence. */
  readonly hint?: string
  /** Facts for machines; snake_case names, since they go on the wire as they are. */
  readonly details?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

/**
 * Something outside the rules went wrong: a disk, a damaged file, a bad argument. Thrown, never returned; a refusal (see
 * `refusal.ts`) is the opposite. Recognised by `name`, because `leasehold/testing` has a copy of this class of its own.
 */
export class Fault extends Error {
  override readonly name = 'Fault'
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly details: Readonly<Record<string, unknown>> | undefined

  constructor(code: ErrorCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.details = options.details
  }
}

/** Is this a `Fault`, whichever copy of the class made it? */
export const isFault = (error: unknown): error is Fault => error instanceof Error && error.name === 'Fault'

/** Are the leases on their way to another store? That passes. */
export const isMoving = (error: unknown): error is Fault => isFault(error) && error.details?.['moving_to'] !== undefined

/** Bad arguments, bad configuration or a bad input file (exit 2). */
export const usage = (message: string, hint?: string): Fault => new Fault('usage', message, hint === undefined ? {} : { hint })

/** A rule says no, whoever asks (exit 8). */
export const policy = (message: string, hint?: string): Fault => new Fault('policy', message, hint === undefined ? {} : { hint })

/** There is no such thing (exit 4). */
export const notFound = (message: string, hint?: string): Fault => new Fault('not_found', message, hint === undefined ? {} : { hint })
