import { usage } from '../../../core/fault.ts'
import type { CommandSpec, OptionSpec, Run } from '../command.ts'
import { globalOptions } from '../parse.ts'
import { everyCommand } from '../table.ts'

/** `lh completion`: a script made from the command table, so it cannot know less than the commands do. */
export const completion: Run = async context => {
  const [shell] = context.positionals
  const commands = await everyCommand()
  const write = shell === 'bash' ? bash : shell === 'zsh' ? zsh : null
  if (write === null) throw usage(`there is no completion for "${shell}"`, 'lh completion bash, or lh completion zsh')
  const script = write(commands)
  context.output.answer({ ok: true, shell: shell!, script }, [script.replace(/\n$/, '')])
  return 0
}

type Table = readonly CommandSpec[]

const words = (options: readonly OptionSpec[]): string =>
  [...options, ...globalOptions]
    .map(({ name, value, optional }) => `--${name}${value === undefined || optional === true ? '' : '='}`)
    .join(' ')

const firstWords = (commands: Table): readonly string[] => [...new Set(commands.map(({ path }) => path.split(' ')[0]!))]

const groups = (commands: Table): ReadonlyMap<string, readonly string[]> => {
  const found = new Map<string, string[]>()
  for (const { path } of commands) {
    const [group, name] = path.split(' ')
    if (name !== undefined) found.set(group!, [...(found.get(group!) ?? []), name])
  }
  return found
}

function bash(commands: Table): string {
  const cases = commands.map((spec: CommandSpec) => `    '${spec.path}') words='${words(spec.options)}';;`)
  const inner = [...groups(commands)].map(([group, names]) => `    '${group}') words='${names.join(' ')}';;`)
  return `# bash completion for lh and leasehold
_leasehold() {
  local cur=\${COMP_WORDS[COMP_CWORD]} words='' pair="\${COMP_WORDS[1]-} \${COMP_WORDS[2]-}"
  case "$pair" in
${cases.filter((_, index) => commands[index]!.path.includes(' ')).join('\n')}
    *) case "\${COMP_WORDS[1]-}" in
${cases.filter((_, index) => !commands[index]!.path.includes(' ')).join('\n')}
    esac;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words='${firstWords(commands).join(' ')}'; fi
  if [ "$COMP_CWORD" -eq 2 ]; then case "\${COMP_WORDS[1]-}" in
${inner.join('\n')}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [ "\${#COMPREPLY[@]}" -eq 1 ] && [ "\${COMPREPLY[0]%=}" != "\${COMPREPLY[0]}" ]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _leasehold lh leasehold
`
}

const quoted = (text: string): string => text.replaceAll("'", "'\\''").replaceAll('[', '\\[').replaceAll(']', '\\]').replaceAll(':', '\\:')

function zsh(commands: Table): string {
  const option = ({ name, value, doc }: OptionSpec): string =>
    `'--${name}${value === undefined ? '' : '='}[${quoted(doc)}]${value === undefined ? '' : `:${value.replace(/[<>]/g, '')}:`}'`
  const cases = commands.map(
    ({ path, options }) => `    '${path}') _arguments ${[...options, ...globalOptions].map(option).join(' ')} '*:resource:';;`,
  )
  const top = firstWords(commands).map(word => `'${word}:${quoted(commands.find(({ path }) => path === word)?.summary ?? `${word} …`)}'`)
  const inner = [...groups(commands)].map(
    ([group, names]) =>
      `    '${group}') list=(${names.map(name => `'${name}:${quoted(commands.find(({ path }) => path === `${group} ${name}`)!.summary)}'`).join(' ')});;`,
  )
  return `#compdef lh leasehold
_leasehold() {
  local -a list
  if (( CURRENT == 2 )); then list=(${top.join(' ')}); _describe command list; return; fi
  if (( CURRENT == 3 )); then case "$words[2]" in
${inner.join('\n')}
  esac; if (( $#list )); then _describe command list; return; fi; fi
  local path="$words[2]"
  case "$words[2]" in ${[...groups(commands).keys()].join('|')}) path="$words[2] $words[3]";; esac
  case "$path" in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = "_leasehold" ]; then _leasehold "$@"; else compdef _leasehold lh leasehold; fi
`
}
