import type { CommandSpec, OptionSpec } from './command.ts'
import { globalOptions } from './parse.ts'
import { columns } from './text.ts'

/** The text of `lh --help`, of a group (`lh claim --help`) or of one command. */
export function helpText(words: readonly string[], table: readonly CommandSpec[]): string {
  const spec =
    table.find(({ path }) => path === words.join(' ')) ??
    table.find(({ path }) => path === words.slice(0, 2).join(' ')) ??
    table.find(({ path }) => path === words[0])
  if (spec !== undefined) return commandHelp(spec)
  const group = words.length === 0 ? table : table.filter(({ path }) => path.startsWith(`${words[0]} `))
  return overview(group, words.length === 0)
}

function overview(table: readonly CommandSpec[], whole: boolean): string {
  const rows = table.map(({ path, usage, summary }) => [`  lh ${path}${usage === '' ? '' : ` ${usage}`}`, summary])
  const head = whole ? ['Leasehold: many agents on one repository, and no two of them ever hold the same thing.', ''] : []
  const foot = ['', `every command takes ${globalOptions.map(named).join(', ')}; more: lh <command> --help`]
  return `${[...head, ...columns(rows), ...foot].join('\n')}\n`
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
