import { usage } from '../../core/fault.ts'
import { suggest } from '../../service/config/schema.ts'
import type { CommandSpec, OptionSpec } from './command.ts'

/** Options that every command takes. */
export const globalOptions: readonly OptionSpec[] = [
  { name: 'json', doc: 'one JSON document on standard output' },
  { name: 'quiet', doc: 'only the exit code, and errors' },
  { name: 'repo', value: '<dir>', doc: 'work on the repository that contains this directory, whatever GIT_DIR says' },
  { name: 'agent', value: '<type:name>', doc: 'who you are, for example agent:claude-1' },
  { name: 'help', doc: 'what this command does' },
]

/** A command line, understood. */
export interface Parsed {
  readonly spec: CommandSpec
  readonly positionals: readonly string[]
  readonly options: Readonly<Record<string, string | boolean | undefined>>
  readonly rest: readonly string[]
}

/** Finds the command that the first words name. */
export function findCommand(words: readonly string[], table: readonly CommandSpec[]): CommandSpec | null {
  const [first, second] = words
  return table.find(({ path }) => path === `${first} ${second}`) ?? table.find(({ path }) => path === first) ?? null
}

/**
 * Reads a command line as Node's own `parseArgs` does: in a fresh process it costs a fraction of what any other parser does (see
 * docs/decisions). An unknown option is an error with a suggestion.
 */
export function parseCommandLine(argv: readonly string[], table: readonly CommandSpec[]): Parsed {
  const end = argv.indexOf('--')
  const own = beforeDashes(argv)
  const rest = end < 0 ? [] : argv.slice(end + 1)
  const { words, others } = split(own)
  const spec = findCommand(words, table)
  if (spec === null) throw unknownCommand(words, table)
  const depth = spec.path.split(' ').length
  const { positionals, values } = readOptions([...words.slice(depth), ...others], [...spec.options, ...globalOptions], spec)
  return { spec, positionals, options: values, rest }
}

const beforeDashes = (argv: readonly string[]): readonly string[] => {
  const end = argv.indexOf('--')
  return end < 0 ? argv : argv.slice(0, end)
}

/** Does a command line name a command of this table? */
export const namesCommand = (argv: readonly string[], table: readonly CommandSpec[]): boolean =>
  findCommand(split(beforeDashes(argv)).words, table) !== null

/** The leading words, which name the command, and the rest. The options that every command takes may stand before and between them. */
function split(own: readonly string[]): { readonly words: readonly string[]; readonly others: readonly string[] } {
  const words: string[] = []
  const others: string[] = []
  for (let at = 0; at < own.length; at++) {
    const word = own[at]!
    const option = globalOptions.find(({ name }) => `--${name}` === word || word.startsWith(`--${name}=`))
    if (!word.startsWith('-')) words.push(word)
    else if (option === undefined) return { words, others: [...own.slice(at), ...others] }
    else others.push(...own.slice(at, option.value === undefined || word.includes('=') ? at + 1 : ++at + 1))
  }
  return { words, others }
}

interface Options {
  readonly positionals: readonly string[]
  readonly values: Readonly<Record<string, string | boolean | undefined>>
}

function readOptions(args: readonly string[], specs: readonly OptionSpec[], spec: CommandSpec): Options {
  const optional = new Set(specs.filter(option => option.optional === true).map(option => `--${option.name}`))
  const words = withOptionalValues(args, optional)
  return readPlain(words, specs) ?? readStrictly(words, specs, spec)
}

/**
 * The usual case by hand: switches, and options whose value cannot be taken for an option. Null for anything else, which `parseArgs` then
 * judges; it alone decides what is wrong and says why. Loading it costs a fresh process a millisecond.
 */
function readPlain(words: readonly string[], specs: readonly OptionSpec[]): Options | null {
  const positionals: string[] = []
  const values: Record<string, string | boolean> = {}
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!
    const equals = word.indexOf('=')
    const option = specs.find(({ name }) => `--${name}` === (equals < 0 ? word : word.slice(0, equals)))
    if (option !== undefined && values[option.name] !== undefined) throw givenTwice(option)
    if (!word.startsWith('-')) positionals.push(word)
    else if (option?.value === undefined) {
      if (option === undefined || equals >= 0) return null
      values[option.name] = true
    } else {
      const value = equals < 0 ? words[++at] : word.slice(equals + 1)
      if (value === undefined || (equals < 0 && value.startsWith('-'))) return null
      refuseEmpty(option, value)
      values[option.name] = value
    }
  }
  return { positionals, values }
}

function readStrictly(words: readonly string[], specs: readonly OptionSpec[], spec: CommandSpec): Options {
  const { parseArgs } = process.getBuiltinModule('node:util')
  const options = Object.fromEntries(
    specs.map(option => [option.name, { type: option.value === undefined ? ('boolean' as const) : ('string' as const) }]),
  )
  try {
    const { positionals, values, tokens } = parseArgs({ args: [...words], options, allowPositionals: true, strict: true, tokens: true })
    const names = tokens.flatMap(token => (token.kind === 'option' ? [token.name] : []))
    const twice = specs.find(({ name }) => names.indexOf(name) !== names.lastIndexOf(name))
    if (twice !== undefined) throw givenTwice(twice)
    for (const option of specs) refuseEmpty(option, values[option.name])
    return { positionals, values }
  } catch (error) {
    throw badOption(error as NodeJS.ErrnoException, specs, spec)
  }
}

/** Mostly a variable that is not set: taken for a value it would be ignored, or mean something else. */
function refuseEmpty({ name, value: form, optional }: OptionSpec, value: string | boolean | undefined): void {
  if (optional !== true && typeof value === 'string' && value.trim() === '')
    throw usage(`--${name} is empty`, `write --${name} ${form}, or leave it out; a variable that is not set is empty, too`)
}

/** Taking the last of two would ignore the other in silence. */
const givenTwice = ({ name, value }: OptionSpec): unknown =>
  usage(`--${name} is given twice`, value?.includes(',') === true ? `write all values between commas: --${name} ${value}` : 'give it once')

/**
 * `--wait` may stand alone, and `--wait=30s` has a value. In `--wait 30s` the value is what was meant: taken as a resource it would wait
 * without limit, for a ticket that nobody has heard of. A plain number could be either, so it is refused.
 */
function withOptionalValues(args: readonly string[], optional: ReadonlySet<string>): readonly string[] {
  const out: string[] = []
  for (let at = 0; at < args.length; at++) {
    const [word, next = ''] = [args[at]!, args[at + 1]]
    // An empty value is mostly a variable that is not set; without one the option would mean something else.
    if (word.endsWith('=') && optional.has(word.slice(0, -1)))
      throw usage(`${word} has no value`, `give one, for example ${word}30s, or leave the = out: ${word.slice(0, -1)}`)
    if (!optional.has(word)) out.push(word)
    else if (/^\d+$/.test(next))
      throw usage(`${word} ${next} can mean two things`, `write ${word}=${next} for ${next} seconds, or put the resource before ${word}`)
    else if (/^(?:\d+(?:ms|[smhd]))+$/.test(next)) out.push(`${word}=${args[++at]}`)
    else out.push(`${word}=`)
  }
  return out
}

function badOption(error: NodeJS.ErrnoException, specs: readonly OptionSpec[], spec: CommandSpec): unknown {
  const help = `see: lh ${spec.path} --help`
  if (error.code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const name = /'(-[^']*)'/.exec(error.message)?.[1] ?? ''
    const near = suggest(
      name.replace(/^-+/, ''),
      specs.map(option => option.name),
    )
    return usage(`lh ${spec.path} has no option ${name}`, near === null ? help : `did you mean --${near}? ${help}`)
  }
  const [, dashed] = /^Option '(?:-., )?(--[^' ]+)[^']*' argument is ambiguous/.exec(error.message) ?? []
  if (dashed !== undefined)
    return usage(`option '${dashed}' takes a value, and what follows begins with a dash`, `if it is meant: ${dashed}=-…; ${help}`)
  if (error.code === 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE')
    return usage(error.message.split('\n')[0]!.replace(/^Option '/, "option '"), help)
  return error
}

/** Refuses the wrong number of positionals, naming what is expected. */
export function checkArity({ spec, positionals, rest }: Parsed): void {
  const [least, most] = spec.arity
  const [example] = spec.examples ?? []
  const line = `usage: lh ${spec.path}${spec.usage === '' ? '' : ` ${spec.usage}`}${example === undefined ? '' : `; for example: ${example}`}`
  if (positionals.length < least) throw usage(`lh ${spec.path} needs ${spec.usage}`, line)
  if (positionals.length > most && spec.usage.split('--')[0]!.includes('…'))
    throw usage(
      `lh ${spec.path} takes at most ${most} ${spec.usage.startsWith('<resource>') ? 'resources' : 'words'} at once, and ${positionals.length} are named`,
      'what need not be taken together can be taken in turn',
    )
  if (positionals.length > most) throw usage(`lh ${spec.path} does not take "${positionals[most]}"`, line)
  if (rest.length > 0 && !/(?:^|[ [])-- /.test(spec.usage)) throw usage(`lh ${spec.path} takes nothing after --`, line)
}

function unknownCommand(words: readonly string[], table: readonly CommandSpec[]): unknown {
  if (words.length === 0) return usage('which command?', 'see: lh --help')
  const group = table.filter(({ path }) => path.startsWith(`${words[0]} `)).map(({ path }) => path)
  if (group.length > 0) {
    const known = group.map(path => path.split(' ')[1]!)
    const near = words[1] === undefined ? null : suggest(words[1], known)
    return usage(
      words[1] === undefined ? `lh ${words[0]} needs one of: ${known.join(', ')}` : `there is no command "lh ${words[0]} ${words[1]}"`,
      near !== null
        ? `did you mean lh ${words[0]} ${near}?`
        : words[1] === undefined
          ? `see: lh ${words[0]} --help`
          : `one of: ${known.join(', ')}`,
    )
  }
  const near = words[0] === 'version' ? '--version' : suggest(words[0]!, [...new Set(table.map(({ path }) => path.split(' ')[0]!))])
  if (near === null) return usage(`there is no command "lh ${words[0]}"`, 'see: lh --help')
  const isGroup = table.some(({ path }) => path.startsWith(`${near} `))
  return usage(`there is no command "lh ${words[0]}"`, `did you mean lh ${near}?${isGroup ? ` see: lh ${near} --help` : ''}`)
}
