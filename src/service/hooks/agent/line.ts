import type { AgentName } from './names.ts'
import type { HookEvent, Program } from './client.ts'

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

const mark = /(?:hook\.cjs'?|\blh hook) (before-tool|after-tool|refresh|stop|session-start|session-end|auto) --agent ([a-z]+)/

/** What a hook of ours does, null when it is somebody else's. */
export function callOf(handler: unknown): { readonly event: HookEvent | 'auto'; readonly agent: string } | null {
  if (typeof handler !== 'object' || handler === null) return null
  const { command, bash, args } = handler as Readonly<Record<string, unknown>>
  const words = [command, bash, ...(Array.isArray(args) ? args : [])].filter(word => typeof word === 'string')
  const found = mark.exec(words.join(' '))
  return found === null ? null : { event: found[1] as HookEvent, agent: found[2]! }
}

/** The hooks of an entry: of a group (`{matcher, hooks}`) those in it, else itself. */
export function handlersOf(entry: unknown): readonly unknown[] {
  const { hooks } = (entry ?? {}) as { readonly hooks?: unknown }
  return Array.isArray(hooks) ? hooks : [entry]
}

/** The files that a line of ours runs by absolute path. */
export function programsIn(handler: unknown): readonly string[] {
  const { command, bash, args } = (handler ?? {}) as Readonly<Record<string, unknown>>
  const words = [command, bash, ...(Array.isArray(args) ? args : [])].filter(word => typeof word === 'string').join(' ')
  const found = /\[ -x '((?:[^']|'\\'')+)' \] && \[ -f '((?:[^']|'\\'')+)' \]/.exec(words)
  return found === null ? [] : [found[1]!, found[2]!].map(word => word.replaceAll(`'\\''`, "'"))
}
