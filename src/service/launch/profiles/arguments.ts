import { basename } from 'node:path'

/** Which options of a client take a value. Options that are not named here take none. */
export interface Options {
  /** One value. */
  readonly values: readonly string[]
  /** Every word up to the next option. */
  readonly lists?: readonly string[]
  /** A value, if the next word is no option. */
  readonly optional?: readonly string[]
}

/** A word of a command line with the values that belong to it; `flag` is null for words that belong to none. */
interface Item {
  readonly flag: string | null
  readonly words: readonly string[]
  /** As it was written, `--flag=value` in one word. */
  readonly written: readonly string[]
}

/** A client's command line, read as far as a launch has to. */
export class Arguments {
  readonly #items: readonly Item[]

  constructor(args: readonly string[], options: Options) {
    this.#items = itemsOf(args, options)
  }

  has(...flags: readonly string[]): boolean {
    return this.#items.some(({ flag }) => flag !== null && flags.includes(flag))
  }

  /** The last value of these options; null: not given, or without one. */
  value(...flags: readonly string[]): string | null {
    return this.#items.findLast(({ flag }) => flag !== null && flags.includes(flag))?.words[0] ?? null
  }

  /** Words that are no option and belong to none. */
  get others(): readonly string[] {
    return this.#items.filter(({ flag }) => flag === null).flatMap(({ words }) => words)
  }

  /** These options with their values, as they were written. */
  only(flags: readonly string[]): readonly string[] {
    return this.#items.filter(({ flag }) => flag !== null && flags.includes(flag)).flatMap(({ written }) => written)
  }
}

function itemsOf(args: readonly string[], { values, lists = [], optional = [] }: Options): readonly Item[] {
  const items: Item[] = []
  const isOption = (word: string | undefined): boolean => word === undefined || (word.startsWith('-') && word.length > 1)
  for (let at = 0; at < args.length;) {
    const word = args[at]!
    if (word === '--') {
      items.push(...args.slice(at + 1).map(rest => ({ flag: null, words: [rest], written: [rest] })))
      break
    }
    const equals = word.startsWith('--') ? word.indexOf('=') : -1
    let end = at + 1
    if (!isOption(word)) items.push({ flag: null, words: [word], written: [word] })
    else if (equals > 0) items.push({ flag: word.slice(0, equals), words: [word.slice(equals + 1)], written: [word] })
    else {
      if (values.includes(word)) end = Math.min(at + 2, args.length)
      else if (lists.includes(word)) while (!isOption(args[end])) end++
      else if (optional.includes(word) && !isOption(args[end])) end++
      items.push({ flag: word, words: args.slice(at + 1, end), written: args.slice(at, end) })
    }
    at = end
  }
  return items
}

/** A list of words, written as one text. */
export const words = (text: string): readonly string[] => text.split(' ')

/** Programs that run another one, whose arguments come after its name. */
const runners = new Set([
  'node',
  'bun',
  'deno',
  'npx',
  'bunx',
  'pnpm',
  'pnpx',
  'yarn',
  'npm',
  'env',
  'nice',
  'nohup',
  'timeout',
  'stdbuf',
  'sudo',
])

/** What may be called like the client and is another thing: an option, a variable, the package that the program is in, a user. */
const isAside = (word: string, before: string): boolean => /^-|^[A-Za-z_]\w*=/.test(word) || /^(?:-p|--package|-u|--user)$/.test(before)

/** Splits a command after the client's program, behind which its options are: `npx codex exec …` after `codex`. */
export function splitCommand(
  command: readonly string[],
  client: RegExp,
): { readonly program: readonly string[]; readonly args: readonly string[] } {
  let at = 0
  if (runners.has(basename(command[0] ?? ''))) {
    const found = command.findIndex((word, index) => index > 0 && index < 8 && client.test(word) && !isAside(word, command[index - 1]!))
    if (found > 0) at = found
  }
  return { program: command.slice(0, at + 1), args: command.slice(at + 1) }
}
