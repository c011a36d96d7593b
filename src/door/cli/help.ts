import type { Wire } from '../../core/wire.ts'
import type { CommandSpec, OptionSpec } from './command.ts'
import { globalOptions } from './parse.ts'
import { columns } from './text.ts'

/** The text of `lh --help`, of a group (`lh claim --help`) or of one command. */
export function helpText(words: readonly string[], table: readonly CommandSpec[]): string {
  const [spec, ...others] = meant(words, table)
  return spec !== undefined && others.length === 0 ? commandHelp(spec) : overview(meant(words, table), words.length === 0)
}

/** The same for programs: every command that was asked about, with its options. */
export const helpDocument = (words: readonly string[], table: readonly CommandSpec[]): Wire => ({
  ok: true,
  commands: meant(words, table).map(({ path, usage, summary, details, options, examples }) => ({
    command: `lh ${path}`,
    usage,
    summary,
    ...(details === undefined ? {} : { details }),
    options: [...options, ...globalOptions].map(({ name, value, doc }) => ({ name: `--${name}`, value: value ?? null, doc })),
    examples: examples ?? [],
  })),
})

/** The one command that these words name, else the group, else all. */
function meant(words: readonly string[], table: readonly CommandSpec[]): readonly CommandSpec[] {
  const spec =
    table.find(({ path }) => path === words.join(' ')) ??
    table.find(({ path }) => path === words.slice(0, 2).join(' ')) ??
    table.find(({ path }) => path === words[0])
  if (spec !== undefined) return [spec]
  return words.length === 0 ? table : table.filter(({ path }) => path.startsWith(`${words[0]} `))
}

/** What belongs together in `lh --help`, by the first word of a command; what is in no group comes last. */
const groups: readonly (readonly [string, readonly string[]])[] = [
  ['Look around', ['init', 'whoami', 'status', 'why', 'demo']],
  ['Claims', ['claim', 'exec']],
  ['Tickets and their gates', ['ticket', 'gate']],
  ['Work, launched agents, worktrees', ['work', 'launch', 'session', 'worktree']],
  ['Hooks', ['hooks', 'session-lock', 'hook']],
  ['Care', ['doctor', 'recover', 'verify', 'log', 'store', 'selftest']],
  ['Settings and reference', ['config', 'schema', 'completion']],
]

function overview(table: readonly CommandSpec[], whole: boolean): string {
  const foot = ['', `every command takes ${globalOptions.map(named).join(', ')}; more: lh <command> --help`]
  if (!whole) return `${[...rowsOf(table), ...foot].join('\n')}\n`
  const wordOf = ({ path }: CommandSpec): string => path.split(' ')[0]!
  const known = new Set(groups.flatMap(([, words]) => words))
  const others = [...new Set(table.map(wordOf))].filter(word => !known.has(word))
  const parts = [...groups, ['More', others] as const].flatMap(([title, words]) => {
    const members = words.flatMap(word => table.filter(spec => wordOf(spec) === word))
    return members.length === 0 ? [] : ['', title, ...rowsOf(members)]
  })
  return `${['Leasehold: many agents on one repository, and no two of them ever hold the same thing.', ...parts, ...foot].join('\n')}\n`
}

/** Wider commands have their summary on a line of its own: one of them does not push all the others to the right. */
const commandWidth = 42

function rowsOf(table: readonly CommandSpec[]): readonly string[] {
  const rows = table.map(({ path, usage, summary }) => [`  lh ${path}${usage === '' ? '' : ` ${usage}`}`, summary] as const)
  const width = Math.max(...rows.map(([command]) => command.length).filter(length => length <= commandWidth), 0)
  return rows.flatMap(([command, summary]) =>
    command.length > width ? [command, `${' '.repeat(width + 2)}${summary}`] : [`${command.padEnd(width + 2)}${summary}`],
  )
}

const named = ({ name, value, optional }: OptionSpec): string =>
  value === undefined ? `--${name}` : optional === true ? `--${name}[=${value}]` : `--${name} ${value}`

function commandHelp({ path, usage, summary, options, details, examples }: CommandSpec): string {
  const rows = [...options, ...globalOptions].map(option => [`  ${named(option)}`, option.doc])
  return `${[
    `lh ${path}${usage === '' ? '' : ` ${usage}`}`,
    '',
    `  ${summary}`,
    ...(details === undefined ? [] : ['', ...wrapped(details, 100).map(line => `  ${line}`)]),
    '',
    ...columns(rows),
    ...(examples === undefined ? [] : ['', ...examples.map(example => `  $ ${example}`)]),
  ].join('\n')}\n`
}

function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!
    if (line.length + word.length + 1 > width) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines
}
