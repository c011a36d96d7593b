import { usage } from '../../../core/fault.ts'
import type { Client, Form, Surroundings } from './client.ts'
import { clients } from './clients.ts'
import { coveredBy } from './cover.ts'
import { ownLines } from './document.ts'
import { readAgentFile } from './file.ts'
import type { Change } from './install.ts'
import { installHooks, uninstallHooks } from './install.ts'
import type { AgentName } from './names.ts'
import type { AgentStatus } from './status.ts'
import { statusOf } from './status.ts'

/** What to install, or to take away. */
export interface AgentRequest {
  readonly agent: AgentName
  readonly form: Form
  readonly around: Surroundings
  /** Only show what would change. */
  readonly dryRun: boolean
  /** Also where another agent's settings do it already. */
  readonly beside: boolean
}

/** What was done. */
export interface AgentAnswer {
  readonly agent: AgentName
  readonly form: Form
  readonly changes: readonly Change[]
  /** Nothing was installed, because this agent reads that file of another, where our hooks are. */
  readonly coveredBy: string | null
  /** What a person still has to do. */
  readonly next: readonly string[]
}

/** Installs the hooks of one agent: acquire and release together, or nothing. The same again changes nothing. */
export function installAgent({ agent, form, around, dryRun, beside }: AgentRequest): AgentAnswer {
  const client = clientFor(agent, form)
  const cover = beside ? null : coveredBy(agent, around)
  if (cover !== null) {
    const condition =
      agent === 'cursor'
        ? 'Cursor runs it where Settings > Rules, Skills, Subagents > Include third-party configs is on; if you keep that off: lh hooks install cursor --beside'
        : 'Copilot runs it in folders that you trust (headless: --trust-folder)'
    return { agent, form, changes: [], coveredBy: cover, next: [condition] }
  }
  const changes = installHooks(client, form, around, dryRun)
  const next = [...client.next(form, around), ...doubled(agent, around), ...ownLinesIn(client, form, around).map(besideOurs)]
  return { agent, form, changes, coveredBy: null, next }
}

/** The lines of a user's own that call us, in the files of an installation; each begins with its place. */
function ownLinesIn(client: Client, form: Form, around: Surroundings): readonly string[] {
  return client.targets(form, around).flatMap(({ kind, path }) => {
    const { text } = kind === 'entries' ? readAgentFile(path) : { text: null }
    if (text === null || text.trim() === '') return []
    return ownLines({ path, text, dialect: client.dialect }).map(({ at, line }) => `${path}:${at}: your line ${quoted(line)}`)
  })
}

const quoted = (line: string): string => JSON.stringify(line.length > 80 ? `${line.slice(0, 79)}…` : line)

const besideOurs = (line: string): string =>
  `${line} calls Leasehold too and was left as it is: take that call out of it, or each tool call pays twice`

/** Who reads what was installed for Claude, and has hooks of its own. */
function doubled(agent: AgentName, around: Surroundings): readonly string[] {
  if (agent !== 'claude') return []
  const others = [clients.copilot, clients.cursor].filter(({ name }) => coveredBy(name, around) !== null)
  return others
    .filter(client => statusOf(client, around).wirings.length > 0)
    .map(
      ({ name, title }) =>
        `${title} reads this file too and has hooks of its own: lh hooks uninstall ${name}, or each tool call pays twice`,
    )
}

/** Takes the hooks of one agent away. */
export function uninstallAgent({ agent, form, around, dryRun }: AgentRequest): AgentAnswer {
  const client = clientFor(agent, form)
  const changes = uninstallHooks(client, form, around, dryRun)
  const next = ownLinesIn(client, form, around).map(line => `${line} still calls Leasehold: it is yours and was left as it is`)
  return { agent, form, changes, coveredBy: null, next }
}

/** Are the hooks of an agent wired completely, and would they run? */
export const agentStatus = (agent: AgentName, around: Surroundings): AgentStatus => statusOf(clients[agent], around)

function clientFor(agent: AgentName, form: Form): (typeof clients)[AgentName] {
  const client = clients[agent]
  if (client.forms.includes(form)) return client
  throw usage(`${client.title} has no ${form} form`, `lh hooks install ${agent}`)
}
