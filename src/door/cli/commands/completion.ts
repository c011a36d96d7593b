import { existsSync, readdirSync } from 'node:fs'
import { usage } from '../../../core/fault.ts'
import { ticketsDirectory } from '../../../service/ticket/files.ts'
import { slugInId } from '../../../service/ticket/identify.ts'
import type { CommandSpec, Context, OptionSpec, Run } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { openWorkspace } from '../open.ts'
import { globalOptions } from '../parse.ts'
import { everyCommand } from '../table.ts'

/** What the scripts ask for by the same command, one word a line. */
const kinds = ['tickets', 'resources', 'sessions'] as const
type Kind = (typeof kinds)[number]

/** `lh completion`: a script made from the command table, so it cannot know less than the commands do. */
export const completion: Run = async context => {
  const [shell] = context.positionals
  const kind = kinds.find(each => each === shell)
  if (kind !== undefined) {
    const found = await wordsOf(context, kind)
    context.output.answer({ ok: true, words: found }, found)
    return 0
  }
  const commands = await everyCommand()
  const write = shell === 'bash' ? bash : shell === 'zsh' ? zsh : null
  if (write === null) throw usage(`there is no completion for "${shell}"`, 'lh completion bash, or lh completion zsh')
  const script = write(commands)
  context.output.answer({ ok: true, shell: shell!, script }, [script.replace(/\n$/, '')])
  return 0
}

/** Anybody may have named a directory of the repository: what a shell could take for more than a word is not offered. */
const isPlain = (word: string): boolean => /^[\p{L}\p{N}_][\p{L}\p{N}_.:/@+-]*$/u.test(word)

/** What could be meant here; nothing where there is no repository, or no answer without waiting for other machines. Never throws. */
async function wordsOf(context: Context, kind: Kind): Promise<readonly string[]> {
  try {
    const workspace = await openWorkspace(context, { faultyConfig: true })
    const { root } = workspace.repository
    const tickets = kind === 'sessions' || root === null ? [] : ticketWords(root)
    const others = kind === 'tickets' ? [] : await heldWords(workspace, kind)
    return [...new Set([...tickets, ...others])].filter(isPlain).toSorted()
  } catch {
    return []
  }
}

/** Ids and slugs of the tickets of this worktree, by the names of their directories. */
const ticketWords = (root: string): readonly string[] =>
  existsSync(ticketsDirectory(root)) ? readdirSync(ticketsDirectory(root)).flatMap(id => [id, slugInId(id)]) : []

/** What the log says, where it is on this machine. */
async function heldWords({ config, coordinator }: FileWorkspace, kind: Kind): Promise<readonly string[]> {
  if (!config.get('store').startsWith('file:')) return []
  const view = await coordinator.view()
  return kind === 'sessions'
    ? [...view.sessions()].flatMap(({ name, sessionId }) => [name, sessionId])
    : [...view.all()].map(({ resource }) => resource)
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

/** What stands for a positional or a value, such as `<ticket>…`, as what may be offered for it; null: nothing that is known here. */
const kindOf = (text: string): Kind | null =>
  text.includes('resource>') ? 'resources' : /[<|]ticket[|,>]/.test(text) ? 'tickets' : text.includes('<session>') ? 'sessions' : null

/** The options whose value is of this kind. An option means the same in each command. */
const optionsOf = (commands: Table, kind: Kind): readonly string[] => [
  ...new Set(commands.flatMap(({ options }) => options.flatMap(({ name, value }) => (kindOf(value ?? '') === kind ? [`--${name}`] : [])))),
]

function bash(commands: Table): string {
  const cases = commands.map(({ path, options, usage: form }) => `    '${path}') words='${words(options)}' kind='${kindOf(form) ?? ''}';;`)
  const inner = [...groups(commands)].map(([group, names]) => `    '${group}') words='${names.join(' ')}' kind='';;`)
  const values = kinds.map(kind => `    ${optionsOf(commands, kind).join('|')}) kind='${kind}';;`)
  return `# bash completion for lh and leasehold
_leasehold() {
  local cur=\${COMP_WORDS[COMP_CWORD]} words='' kind='' pair="\${COMP_WORDS[1]-} \${COMP_WORDS[2]-}"
  local line="\${COMP_WORDS[*]:0:COMP_CWORD+1}" last option value head='' cut word
  case "$pair" in
${cases.filter((_, index) => commands[index]!.path.includes(' ')).join('\n')}
    *) case "\${COMP_WORDS[1]-}" in
${cases.filter((_, index) => !commands[index]!.path.includes(' ')).join('\n')}
    esac;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then words='${firstWords(commands).join(' ')}' kind=''; fi
  if [ "$COMP_CWORD" -eq 2 ]; then case "\${COMP_WORDS[1]-}" in
${inner.join('\n')}
  esac; fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [ -n "\${COMP_LINE-}" ]; then line="\${COMP_LINE:0:COMP_POINT}"; fi
  last="\${line##*[[:space:]]}"
  case "$last" in
    -*=*) option="\${last%%=*}" value="\${last#*=}";;
    *) value="$last"; option="\${line%"$last"}"; option="\${option%"\${option##*[![:space:]]}"}"; option="\${option##*[[:space:]]}";;
  esac
  case "$option" in
${values.join('\n')}
    --*) case " $words " in *" $option= "*) kind='';; esac;;
  esac
  case "$line" in *' -- '*) kind='';; esac
  case "$value" in -*) kind='';; *,*) head="\${value%,*},";; esac
  if [ -n "$kind" ]; then
    # Only what follows the last = or : is replaced.
    case "$cur" in ''|=|:) cut="$last";; *) cut="\${last%"$cur"}";; esac
    compopt +o default 2>/dev/null
    local -a found=()
    while IFS= read -r word; do
      case "$head$word" in "$value"*) word="\${last%"$value"}$head$word"; found+=("\${word#"$cut"}");; esac
    done < <("\${1:-\${COMP_WORDS[0]}}" completion "$kind" 2>/dev/null)
    if [ "\${#found[@]}" -gt 0 ]; then COMPREPLY=("\${found[@]}"); fi
  fi
  if [ "\${#COMPREPLY[@]}" -eq 1 ] && [ "\${COMPREPLY[0]%=}" != "\${COMPREPLY[0]}" ]; then compopt -o nospace 2>/dev/null; fi
}
complete -o default -F _leasehold lh leasehold
`
}

const quoted = (text: string): string => text.replaceAll("'", "'\\''").replaceAll('[', '\\[').replaceAll(']', '\\]').replaceAll(':', '\\:')

function zsh(commands: Table): string {
  // The space in front: called as it is, without what _arguments would add.
  const offer = (text: string): string => (kindOf(text) === null ? '' : ` _leasehold_words ${kindOf(text)!}`)
  const option = ({ name, value, doc }: OptionSpec): string =>
    `'--${name}${value === undefined ? '' : '='}[${quoted(doc)}]${value === undefined ? '' : `:${value.replace(/[<>]/g, '')}:${offer(value)}`}'`
  const cases = commands.map(
    ({ path, options, usage: form }) =>
      `    '${path}') _arguments ${[...options, ...globalOptions].map(option).join(' ')} '*:resource:${offer(form)}';;`,
  )
  const top = firstWords(commands).map(word => `'${word}:${quoted(commands.find(({ path }) => path === word)?.summary ?? `${word} …`)}'`)
  const inner = [...groups(commands)].map(
    ([group, names]) =>
      `    '${group}') list=(${names.map(name => `'${name}:${quoted(commands.find(({ path }) => path === `${group} ${name}`)!.summary)}'`).join(' ')});;`,
  )
  return `#compdef lh leasehold
_leasehold_words() {
  local -a found
  found=(\${(f)"$(\${words[1]} completion $1 2>/dev/null)"})
  compadd -a found
}
_leasehold() {
  local -a list
  if (( CURRENT == 2 )); then list=(${top.join(' ')}); _describe command list; return; fi
  if (( CURRENT == 3 )); then case "$words[2]" in
${inner.join('\n')}
  esac; if (( $#list )); then _describe command list; return; fi; fi
  local spec="$words[2]"
  case "$words[2]" in ${[...groups(commands).keys()].join('|')}) spec="$words[2] $words[3]";; esac
  case "$spec" in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = "_leasehold" ]; then _leasehold "$@"; else compdef _leasehold lh leasehold; fi
`
}
