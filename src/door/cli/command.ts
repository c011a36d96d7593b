import { usage } from '../../core/fault.ts'
import type { Wire } from '../../core/wire.ts'

/** An option as data: parsing, `--help`, completion and the reference all come from it. */
export interface OptionSpec {
  readonly name: string
  /** What stands for its value, such as `<ttl>`; absent = a switch. */
  readonly value?: string
  /** May be given without a value. */
  readonly optional?: boolean
  readonly doc: string
}

/** A command as data; its code is loaded when it runs. */
export interface CommandSpec {
  /** Words that name it: `claim acquire`. */
  readonly path: string
  /** Positional arguments, as shown in the usage line. */
  readonly usage: string
  /** How many positionals it takes. */
  readonly arity: readonly [number, number]
  readonly summary: string
  readonly options: readonly OptionSpec[]
  /** More for `--help`: what success means, and what it does not promise. */
  readonly details?: string
  readonly examples?: readonly string[]
  readonly load: () => Promise<Run>
}

/** What a command is given. */
export interface Context {
  readonly spec: CommandSpec
  readonly positionals: readonly string[]
  readonly options: Readonly<Record<string, string | boolean | undefined>>
  /** Everything after `--`. */
  readonly rest: readonly string[]
  readonly env: NodeJS.ProcessEnv
  /** `--repo`, else where we are. */
  readonly directory: string
  readonly output: Output
}

/** Runs a command and resolves to its exit code. */
export type Run = (context: Context) => Promise<number>

/** Where answers go: one JSON document, or text for people. */
export interface Output {
  readonly json: boolean
  readonly quiet: boolean
  /** Standard output is a terminal and nobody said no to colour. */
  readonly colour: boolean
  /** The command's answer: the document with `--json`, else the lines. Functions make only what is asked for. */
  answer(document: Wire | (() => Wire), lines: readonly string[] | (() => readonly string[])): void
  /** A line on standard error; silent with `--quiet`. */
  note(text: string): void
  warn(text: string): void
  /** Raw text on standard output, for commands whose output is not an answer (export); silent with `--quiet`. */
  raw(text: string): boolean
}

/** A string option's value. */
export function textOption({ options }: Pick<Context, 'options'>, name: string): string | undefined {
  const value = options[name]
  return typeof value === 'string' ? value : undefined
}

/** The values between commas of a string option; none when it is not given. Throws `usage` for an empty one, which is mostly a slip. */
export function listOption(context: Pick<Context, 'options'>, name: string): readonly string[] {
  const text = textOption(context, name)
  if (text === undefined) return []
  const values = text.split(',').map(each => each.trim())
  if (values.includes(''))
    throw usage(`--${name}: ${JSON.stringify(text)} has an empty value`, `write values between commas: --${name} a,b`)
  return values
}

/** Was this switch given? */
export const switchOption = ({ options }: Pick<Context, 'options'>, name: string): boolean => options[name] === true
