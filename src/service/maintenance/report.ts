import type { ErrorCode } from '../../core/fault.ts'
import type { Wire } from '../../core/wire.ts'

/** What a maintenance command answers. */
export interface Report {
  /** The document of `--json`. */
  readonly document: Wire
  readonly exit: number
  /** The same for people. */
  readonly lines: readonly string[]
  readonly warnings: readonly string[]
}

/** A "yes". */
export const fine = (document: Wire, lines: readonly string[]): Report => ({
  document: { ok: true, ...document },
  exit: 0,
  lines,
  warnings: [],
})

/** A "no" that keeps what was found beside the error, so that a script finds it in the same place either way. */
export const bad = (
  error: { readonly code: ErrorCode; readonly exit: number; readonly message: string; readonly hint: string },
  document: Wire,
  lines: readonly string[],
): Report => ({
  document: { ok: false, error, ...document },
  exit: error.exit,
  lines,
  warnings: [],
})

/** `1 line`, `2 lines`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`
