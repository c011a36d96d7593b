import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { inject } from 'vitest'
import { findRepository } from '../../../src/host/git.ts'
import { Catalogue } from '../../../src/service/ticket/catalogue.ts'
import { parseEvents, type TicketEvent } from '../../../src/service/ticket/events.ts'
import { parseTicket, type Parsed } from '../../../src/service/ticket/front-matter.ts'
import { importTickets, type Imported, type ImportOptions } from '../../../src/service/ticket/import/import.ts'
import type { Tracker } from '../../../src/service/ticket/import/imported.ts'

// A repository to import into, and a place for what another tracker left behind.

/** 21 November 2026. */
export const nowMs = Date.parse('2026-11-21T10:00:00Z')

export class Room {
  readonly root: string
  readonly source: string

  constructor() {
    const folder = fs.realpathSync(fs.mkdtempSync(path.join(inject('runFolder'), 'import-')))
    this.root = path.join(folder, 'repository')
    this.source = path.join(folder, 'source')
    fs.mkdirSync(this.root)
    fs.mkdirSync(this.source)
    execFileSync('git', ['init', '-q'], { cwd: this.root })
  }

  /** Writes files of the other tracker: text as it is, anything else as JSON. Returns the path of the last one. */
  leave(files: Readonly<Record<string, unknown>>): string {
    let last = this.source
    for (const [name, content] of Object.entries(files)) {
      last = path.join(this.source, name)
      fs.mkdirSync(path.dirname(last), { recursive: true })
      fs.writeFileSync(last, typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content))
    }
    return last
  }

  import(from: Tracker, more: Partial<ImportOptions> = {}): Promise<Imported> {
    return importTickets({
      root: this.root,
      from,
      path: this.source,
      actor: 'human:me',
      nowMs,
      tickets: Catalogue.open(findRepository(this.root, {}), null).list(),
      heldBy: () => null,
      dryRun: false,
      ...more,
    })
  }

  get tickets(): string {
    return path.join(this.root, '.leasehold', 'tickets')
  }

  ids(): readonly string[] {
    return fs.existsSync(this.tickets) ? fs.readdirSync(this.tickets).toSorted() : []
  }

  file(id: string, name: string): string {
    return path.join(this.tickets, id, name)
  }

  text(id: string, name = 'ticket.md'): string {
    return fs.readFileSync(this.file(id, name), 'utf8')
  }

  /** The only ticket, or the one whose id ends so. */
  id(end = ''): string {
    const found = this.ids().filter(id => id.endsWith(end))
    if (found.length !== 1) throw new Error(`${found.length} tickets end with ${JSON.stringify(end)}: ${this.ids().join(', ')}`)
    return found[0]!
  }

  ticket(end = ''): Parsed {
    const id = this.id(end)
    return parseTicket(this.text(id), id)
  }

  events(end = ''): readonly TicketEvent[] {
    const { events, problems } = parseEvents(this.text(this.id(end), 'events.jsonl'))
    if (problems.length > 0) throw new Error(JSON.stringify(problems))
    return events
  }

  /** Every file with its content and the time of its last change. */
  snapshot(): Readonly<Record<string, string>> {
    const found: Record<string, string> = {}
    for (const name of fs.readdirSync(this.root, { recursive: true, encoding: 'utf8' })) {
      const file = path.join(this.root, name)
      if (name.startsWith('.git/') || !fs.statSync(file).isFile()) continue
      found[name] = `${fs.statSync(file, { bigint: true }).mtimeNs} ${fs.readFileSync(file, 'utf8')}`
    }
    return found
  }

  /** Everything that is wrong with any ticket; nothing, after any import. */
  problems(): readonly unknown[] {
    return this.ids().flatMap(id => [...parseTicket(this.text(id), id).problems, ...parseEvents(this.text(id, 'events.jsonl')).problems])
  }
}
