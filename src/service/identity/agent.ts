import { Fault, usage } from '../../core/fault.ts'
import type { Witness } from '../../core/lease.ts'
import { ancestors, sameUser, witnessOf, type Ancestor } from '../../host/process.ts'

/** Who acts, and where that name came from. */
export interface Agent {
  /** `<type>:<identifier>`. */
  readonly agentId: string
  /** For people: `--agent`, `environment LEASEHOLD_AGENT_ID`, … */
  readonly origin: string
}

/** Which run of an agent acts. */
export interface Session {
  readonly sessionId: string
  /** The agent program, as far as its environment tells. */
  readonly client: string | null
  /** The variable, or the ancestor process, that told. */
  readonly origin: string
}

/** The process whose death ends what is bound to it, and the variable that named it. */
export interface WitnessFound {
  readonly witness: Witness
  readonly origin: string
}

/** Everything an agent's name may come from. The last source is a function: it may have to start Git. */
export interface AgentSources {
  /** `--agent`. */
  readonly flag?: string | undefined
  readonly env: NodeJS.ProcessEnv
  /** `agent.id` of the user's configuration. */
  readonly config?: string | null | undefined
  /** The session we run in, when there is one. */
  readonly session?: Session | null | undefined
  readonly gitUserName: () => Promise<string | null>
}

const maxIdentifierBytes = 128
const maxSessionIdBytes = 256

/** Sessions by variable, in the order they count. */
const sessionVariables: readonly (readonly [variable: string, client: string])[] = [
  ['CLAUDE_CODE_SESSION_ID', 'claude'],
  ['CODEX_SESSION_ID', 'codex'],
  ['QWEN_CODE_SESSION_ID', 'qwen'],
  ['COPILOT_AGENT_SESSION_ID', 'copilot'],
]

/** What each agent sets for the commands it runs. Qwen and Gemini share code: the more telling mark comes first. */
const marks: readonly (readonly [variable: string, client: string])[] = [
  ['CLAUDECODE', 'claude'],
  ['CODEX_THREAD_ID', 'codex'],
  ['QWEN_CODE', 'qwen'],
  ['GEMINI_CLI', 'gemini'],
  ['CURSOR_AGENT', 'cursor'],
  ['OPENCODE_PID', 'opencode'],
]

/** How each agent's process is recognised when its own name is not that of the client: a part of its script's path. */
const packages: Readonly<Record<string, readonly string[]>> = {
  claude: ['/claude-code/', '/claude-agent-sdk'],
  codex: ['/@openai/codex'],
  qwen: ['/qwen-code/'],
  gemini: ['/gemini-cli/'],
  cursor: ['cursor-agent'],
  opencode: ['/opencode'],
}

/**
 * Who acts: `--agent`, `LEASEHOLD_AGENT_ID`, the user's configuration, the agent session we run in, Git's `user.name`; the first
 * that is there. Throws `usage` for an id that breaks the rules, `policy` when nobody has said.
 */
export async function resolveAgent(sources: AgentSources): Promise<Agent> {
  const { flag, env, config, session } = sources
  if (flag !== undefined) return { agentId: parseAgentId(flag, '--agent'), origin: '--agent' }
  const exported = env['LEASEHOLD_AGENT_ID']
  if (exported) return { agentId: parseAgentId(exported, 'LEASEHOLD_AGENT_ID'), origin: 'environment LEASEHOLD_AGENT_ID' }
  if (config) return { agentId: parseAgentId(config, 'agent.id'), origin: 'agent.id in the user configuration' }
  const own = session === undefined ? resolveSession(env, () => ancestors(process.pid)) : session
  if (own?.client) return { agentId: `agent:${own.client}-${shortSession(own.sessionId)}`, origin: `session of ${own.origin}` }
  const name = personOf(await sources.gitUserName())
  if (name !== '') return { agentId: parseAgentId(`human:${name}`, 'git user.name'), origin: 'git user.name' }
  throw new Fault('policy', 'Nobody has said who is acting here.', {
    hint: 'Say it once with `lh config set --user agent.id human:<your name>`, or per command with --agent or LEASEHOLD_AGENT_ID.',
  })
}

/** An agent id in its one spelling (Unicode NFC). `source` is named in the error. Throws `usage`. */
export function parseAgentId(text: string, source: string): string {
  // Plain ASCII is in NFC already, and normalising loads Unicode tables.
  const id = isPlain(text) ? text : text.normalize('NFC')
  const colon = id.indexOf(':')
  const why = colon < 0 ? 'it has no `:`' : (faultOfType(id.slice(0, colon)) ?? faultOfIdentifier(id.slice(colon + 1)))
  if (why === null) return id
  throw new Fault('usage', `${source}: ${JSON.stringify(text)} is no agent id: ${why}.`, {
    hint: 'An agent id is <type>:<identifier>, for example agent:claude-1, human:alice or ci:build.',
  })
}

/**
 * The agent session that this command runs in, or null when a person typed it. `above` are the processes above this one; they are
 * looked at only where an agent leaves a mark but no id. Throws `policy` when such an agent cannot be found among them.
 */
export function resolveSession(env: NodeJS.ProcessEnv, above: () => readonly Ancestor[]): Session | null {
  const told = sessionVariables.find(([variable]) => env[variable])
  const ours = env['LEASEHOLD_SESSION_ID']
  if (ours) {
    const client = told?.[1] ?? marks.find(([variable]) => env[variable])?.[1] ?? null
    return { sessionId: checkedSession(ours, 'LEASEHOLD_SESSION_ID'), client, origin: 'environment LEASEHOLD_SESSION_ID' }
  }
  if (told !== undefined) {
    const [variable, client] = told
    return { sessionId: checkedSession(env[variable] ?? '', variable), client, origin: `environment ${variable}` }
  }
  const left = marks.filter(([variable]) => env[variable])
  const first = left[0]
  if (first === undefined) return null
  return sessionOfAncestor(left, above()) ?? refuseMark(first)
}

/**
 * The process that the environment names: one that runs, and is ours or above us. Throws `usage` for a LEASEHOLD_PID that is none, for
 * somebody set it; what a client says of itself is left out then.
 */
export function resolveWitness(env: NodeJS.ProcessEnv): WitnessFound | null {
  for (const variable of ['LEASEHOLD_PID', 'CLAUDE_PID']) {
    const text = env[variable]
    if (!text) continue
    const pid = /^[1-9][0-9]{0,9}$/.test(text) ? Number(text) : null
    const witness = pid === null || !isOurs(pid) ? null : witnessOf(pid)
    if (witness !== null) return { witness, origin: `environment ${variable}` }
    if (variable === 'LEASEHOLD_PID') throw noWitness(text, pid)
  }
  return null
}

const noWitness = (text: string, pid: number | null): Fault =>
  pid === null
    ? usage(`LEASEHOLD_PID: ${JSON.stringify(text)} is no process id.`, 'For example LEASEHOLD_PID=$$ in a shell.')
    : usage(`LEASEHOLD_PID: no process ${pid} of yours runs.`, 'Name one that does, for example LEASEHOLD_PID=$$ in a shell, or unset it.')

const isOurs = (pid: number): boolean => sameUser(pid) || ancestors(process.pid).some(ancestor => ancestor.pid === pid)

/** The nearest process above us that is one of the marked agents; its pid and start make the session. */
function sessionOfAncestor(left: typeof marks, above: readonly Ancestor[]): Session | null {
  for (const ancestor of above) {
    const mark = left.find(([, client]) => isClient(ancestor, client))
    if (mark === undefined) continue
    const sessionId = `pid${ancestor.pid}-${ancestor.startTicks}`
    return { sessionId, client: mark[1], origin: `process ${ancestor.pid} (${mark[1]}, marked by ${mark[0]})` }
  }
  return null
}

function refuseMark([variable, client]: (typeof marks)[number]): never {
  throw new Fault(
    'policy',
    `${variable} says that ${client} runs this command, but no session id is set and no ${client} process is above it.`,
    {
      hint: 'Set LEASEHOLD_SESSION_ID to an id of your choice that stays the same for the session.',
      details: { variable, client },
    },
  )
}

/** Does a process run this client: by its own name, its program's, or the script that an interpreter runs? */
export function isClient(ancestor: Pick<Ancestor, 'comm' | 'cmdline'>, client: string): boolean {
  const [program = '', ...rest] = ancestor.cmdline
  // `node --max-old-space-size=1 …/gemini -p x`: the script is the first argument that is no option.
  const script = rest.find(argument => !argument.startsWith('-')) ?? ''
  if (ancestor.comm === client || nameOf(program) === client || nameOf(script) === client) return true
  return (packages[client] ?? []).some(part => program.includes(part) || script.includes(part))
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1).replace(/\.(?:[cm]?js|exe)$/, '')

/** What of a session id goes into an agent's name. A process session is named by its pid: eight characters could cut that in two. */
const shortSession = (sessionId: string): string => /^(pid[0-9]+)-/.exec(sessionId)?.[1] ?? sessionId.slice(0, 8)

function checkedSession(text: string, variable: string): string {
  if (Buffer.byteLength(text) <= maxSessionIdBytes && !hasControl(text) && text.trim() === text) return text
  throw new Fault('usage', `${variable}: ${JSON.stringify(text.slice(0, 80))} is no session id.`, {
    hint: `A session id has 1 to ${maxSessionIdBytes} printable bytes.`,
  })
}

/** A person's name as Git has it, without what an agent id may not hold. */
const personOf = (name: string | null): string =>
  [...(name ?? '')]
    .filter(sign => !hasControl(sign))
    .join('')
    .trim()

const faultOfType = (type: string): string | null =>
  /^[a-z][a-z0-9_-]*$/.test(type) ? null : 'the part before `:` must be a lower-case word'

function faultOfIdentifier(identifier: string): string | null {
  if (identifier === '') return 'nothing follows the `:`'
  if (Buffer.byteLength(identifier) > maxIdentifierBytes) return `what follows the \`:\` is longer than ${maxIdentifierBytes} bytes`
  if (hasControl(identifier)) return 'it holds control characters'
  return identifier.trim() === identifier ? null : 'what follows the `:` begins or ends with a blank'
}

/** Printable ASCII. By hand rather than by pattern: compiling one costs each command more. */
function isPlain(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x20 || code > 0x7e) return false
  }
  return true
}

/** Control characters, line separators, text-direction overrides and halves of characters: all could forge what a screen shows. */
const hasControl = (text: string): boolean => !isPlain(text) && /[\p{Cc}\p{Surrogate}\u2028-\u202e\u2066-\u2069]/u.test(text)
