import fs from 'node:fs'
import path from 'node:path'
import { folder, git, parse, type Agent, type Doc, type Repo } from './cli.ts'

// Tickets as a person writes them into a repository, and looks at them afterwards: files, and nothing of the source.

/** Front matter of a ticket; what is not given has a usual value. */
export interface Fields {
  readonly title?: string
  readonly slug?: string
  readonly status?: string
  readonly priority?: string
  readonly state?: string
  readonly created?: string
  readonly assignee?: string
  readonly legacy?: string
  readonly dependsOn?: readonly string[]
}

export const ticketsIn = (dir: string): string => path.join(dir, '.leasehold', 'tickets')
export const ticketFile = (dir: string, id: string, name = 'ticket.md'): string => path.join(ticketsIn(dir), id, name)

/** The text of a `ticket.md`. */
export function ticketText(id: string, fields: Fields = {}): string {
  const slug = fields.slug ?? id.replace(/^\d{8}-\d{6}-/, '')
  const created = fields.created ?? '2026-01-01T00:00:00Z'
  return (
    `---\nid: ${id}\nslug: ${slug}\ntitle: ${fields.title ?? slug}\nstatus: ${fields.status ?? 'open'}\nkind: task\n` +
    `priority: ${fields.priority ?? 'P2'}\nlabels: []\nworkflow_state: ${fields.state ?? 'ready'}\n` +
    `created_at: ${created}\nupdated_at: ${created}\nassignee: ${fields.assignee ?? 'null'}\n` +
    `legacy_ticket: ${fields.legacy ?? 'null'}\nqueued_by: null\nqueued_at: null\n` +
    `depends_on: [${(fields.dependsOn ?? []).join(', ')}]\ngates: []\n---\n\nThe body of ${id}.\n`
  )
}

/** Writes a ticket into a worktree. Returns its id. */
export function putTicket(dir: string, id: string, fields: Fields = {}): string {
  fs.mkdirSync(path.join(ticketsIn(dir), id), { recursive: true })
  fs.writeFileSync(ticketFile(dir, id), ticketText(id, fields))
  return id
}

/** Commits everything. */
export function commit(dir: string, message = 'work'): string {
  git(dir, 'add', '-A')
  git(dir, 'commit', '-q', '--allow-empty', '-m', message)
  return git(dir, 'rev-parse', 'HEAD')
}

/** A linked worktree on a branch of its own. */
export function linked(repo: Repo, branch: string): string {
  const dir = path.join(folder('linked-'), branch.replaceAll('/', '-'))
  git(repo.dir, 'worktree', 'add', '-q', '-b', branch, dir)
  return dir
}

/** The bytes of every file of the tickets, by name: what must not change when nothing may be written, and no file too many. */
export function ticketBytes(dir: string): Readonly<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of fs.existsSync(ticketsIn(dir)) ? fs.readdirSync(ticketsIn(dir), { recursive: true, encoding: 'utf8' }) : []) {
    const file = path.join(ticketsIn(dir), name)
    const stats = fs.lstatSync(file)
    found[name] = stats.isFile() ? fs.readFileSync(file, 'latin1') : stats.isSymbolicLink() ? `-> ${fs.readlinkSync(file)}` : 'directory'
  }
  return found
}

/** One field as it stands in the file. */
export const fieldOf = (dir: string, id: string, key: string): string | undefined =>
  new RegExp(`^${key}: (.*)$`, 'm').exec(fs.readFileSync(ticketFile(dir, id), 'utf8'))?.[1]

/** The events in a worktree's own file; throws when a line is torn. */
export function eventsIn(dir: string, id: string): readonly Doc[] {
  const file = ticketFile(dir, id, 'events.jsonl')
  if (!fs.existsSync(file)) return []
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => parse(line))
}

/** What `next --claim` hands out, until nothing is left. */
export async function drain(agent: Agent, ...words: readonly string[]): Promise<readonly string[]> {
  const taken: string[] = []
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const { ticket, lease } = await agent.ok('ticket next --claim', ...words)
    if (ticket === null) return taken
    if (lease.resource !== `ticket:${ticket.id}`) throw new Error(`the lease is of ${lease.resource}, not of ${ticket.id}`)
    taken.push(ticket.id)
  }
}
