import { shellWord } from '../../../core/shell-word.ts'
import { shellItems } from '../../session-lock/shell-words.ts'
import type { HookEvent, Program } from './client.ts'
import type { AgentName } from './names.ts'

/** A word for the shell, whatever is in it. */
const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`

/**
 * What an installed hook runs: this installation, else `lh` on PATH if it is Leasehold (another program of that name would end with a code
 * that blocks everything), else nothing but a line that says so. It is stable on purpose: Codex asks its user again when it changes.
 */
export function shellLine({ node, hook }: Program, event: HookEvent, agent: AgentName): string {
  const [program, file, call] = [quoted(node), quoted(hook), `${event} --agent ${agent}`]
  return (
    `if [ -x ${program} ] && [ -f ${file} ]; then exec ${program} ${file} ${call}; fi; ` +
    `case "$(lh --version --json 2>/dev/null </dev/null)" in '{"ok":true,"version":'*) exec lh hook ${call};; esac; ` +
    `echo 'leasehold: not installed here any more; let pass' >&2`
  )
}

/** A call of ours in a line. */
export interface Call {
  /** `auto`: what the client's payload says. */
  readonly event: HookEvent | 'auto'
  /** Null: it is not said. */
  readonly agent: string | null
}

const word = String.raw`'(?:[^']|'\\'')*'|"[^"$\x60]*"|[^\s'"\x60$&|;<>()#*?]+`
const call = '(before-tool|after-tool|refresh|stop|session-start|session-end|auto) --agent ([a-z]+)'

/** What this version and those before it install: this installation if it is there, else `lh` on PATH, else a word. */
const installed = new RegExp(
  String.raw`^if \[ -x (${word}) \] && \[ -f (${word}) \]; then exec \1 \2 ${call}; ` +
    String.raw`(?:fi; case "\$\(lh --version --json 2>/dev/null </dev/null\)" in '\{"ok":true,"version":'\*\) exec lh hook \3 --agent \4;; esac; |` +
    String.raw`elif command -v lh >/dev/null 2>&1; then exec lh hook \3 --agent \4; else )` +
    String.raw`echo 'leasehold: not installed here any more; let pass' >&2(?:; fi)?$`,
)

/** The same call written out: with the program and its Node, quoted or not, or with `lh`, and with variables of ours before it. */
const plain = new RegExp(
  String.raw`^[ \t]*(?:& )?(?:(?:env )?(?:LEASEHOLD_[A-Z_]+=(?:${word})?[ \t]+)+)?(?:exec )?(?:(${word})[ \t]+)??(${word})[ \t]+(hook )?${call}[ \t]*$`,
)

/** `sh -c "sh -c …"`. */
const maxDepth = 3

/** No line of ours is as long. */
const maxLine = 32_768

/** Words that may stand before what a command runs. */
const before =
  /^(?:[A-Za-z_]\w*=.*|-.*|[\d.]+[smhd]?|[{!]|if|then|elif|else|do|while|until|exec|env|time|timeout|nice|nohup|sudo|command|npx|node(?:js)?|.*[/\\]node(?:\.exe)?)$/s

const shells = /(?:^|\/)(?:ba|da|z|k)?sh$|^eval$/
const nodes = /(?:^|[/\\])node(?:js)?(?:\.exe)?$/i
const ourPrograms = /(?:^|[/\\])(?:lh|leasehold)(?:\.cjs|\.exe|\.cmd)?$/i
const ourHooks = /(?:^|[/\\])hook\.cjs$/i

/** What a hook of ours does, null when it is somebody else's. A line that does more than call us is its user's. */
export function callOf(handler: unknown): Call | null {
  const calls = linesOf(handler).map(ownCall)
  return calls.length > 0 && calls.every(each => each !== null) ? calls[0]! : null
}

function ownCall(line: string): Call | null {
  if (line.length > maxLine) return null
  const whole = installed.exec(line)
  if (whole !== null) return { event: whole[3] as HookEvent, agent: whole[4]! }
  const found = plain.exec(line)
  if (found === null) return null
  const [, node, named = '', hook, event, agent] = found
  const program = unquoted(named)
  const isOurs = hook === undefined ? ourHooks.test(program) : ourPrograms.test(program)
  if (!isOurs || (node !== undefined && !nodes.test(unquoted(node)))) return null
  return { event: event as HookEvent | 'auto', agent: agent! }
}

/** What a user's own line calls of ours among other things. */
export interface CallWithin extends Call {
  readonly line: string
  /** Its exit code is certainly ours, so a refusal blocks. */
  readonly passes: boolean
}

/** The call of ours in a line of a user's own; null when there is none. */
export function callWithin(handler: unknown): CallWithin | null {
  if (callOf(handler) !== null) return null
  for (const line of linesOf(handler)) {
    const found = callIn(line, 0)
    if (found !== null) return { ...found, line, passes: !/[|;&\n]/.test(line.replaceAll(/&&|\d?>&\d?/g, '')) }
  }
  return null
}

function callIn(line: string, depth: number): Call | null {
  for (const item of shellItems(line, () => undefined)) {
    if (typeof item === 'string') continue
    const words = item.words.map(({ text }) => text)
    const at = words.findIndex(text => !before.test(text))
    const [program = '', next = ''] = words.slice(at)
    if (at < 0) continue
    if (ourHooks.test(program)) return callAt(words.slice(at + 1))
    if (ourPrograms.test(program) && next === 'hook') return callAt(words.slice(at + 2))
    const inner = shells.test(program) && depth < maxDepth ? words.slice(at + 1).find(text => text.includes(' ')) : undefined
    const nested = inner === undefined ? null : callIn(inner, depth + 1)
    if (nested !== null) return nested
  }
  return null
}

function callAt(words: readonly string[]): Call {
  const named = words.indexOf('--agent')
  const [event = ''] = words
  return {
    event: /^(?:before-tool|after-tool|refresh|stop|session-start|session-end)$/.test(event) ? (event as HookEvent) : 'auto',
    agent: named < 0 ? null : (words[named + 1] ?? null),
  }
}

/** The lines that a hook runs: one for each shell of which it has one. */
function linesOf(handler: unknown): readonly string[] {
  if (typeof handler !== 'object' || handler === null) return []
  const { command, bash, powershell, args } = handler as Readonly<Record<string, unknown>>
  const texts = Array.isArray(args) ? args.filter(arg => typeof arg === 'string') : []
  const isWhole = Array.isArray(args) && texts.length === args.length
  const lines = [bash, powershell].filter(line => typeof line === 'string')
  if (typeof command !== 'string') return lines
  if (args === undefined || (isWhole && texts.length === 0)) return [command, ...lines]
  // Without a shell of the client's in between: the program and its words.
  if (isWhole && texts.length === 2 && shells.test(command) && texts[0] === '-c') return [texts[1]!, ...lines]
  return [[command, ...texts].map(shellWord).join(' '), ...lines]
}

const unquoted = (text: string): string =>
  text.startsWith("'") ? text.slice(1, -1).replaceAll(`'\\''`, "'") : text.startsWith('"') ? text.slice(1, -1) : text

/** The hooks of an entry: of a group (`{matcher, hooks}`) those in it, else itself. */
export function handlersOf(entry: unknown): readonly unknown[] {
  const { hooks } = (entry ?? {}) as { readonly hooks?: unknown }
  return Array.isArray(hooks) ? hooks : [entry]
}

/** The files that a line of ours runs by absolute path. */
export function programsIn(handler: unknown): readonly string[] {
  return linesOf(handler).flatMap(line => {
    const found = installed.exec(line)
    return found === null ? [] : [found[1]!, found[2]!].map(unquoted)
  })
}
