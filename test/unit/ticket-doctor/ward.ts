import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { inject } from 'vitest'
import { Coordinator } from '../../../src/coordinator.ts'
import type { Holder } from '../../../src/core/lease.ts'
import { defaultPolicy } from '../../../src/core/policy.ts'
import { findRepository } from '../../../src/host/git.ts'
import { ensureWorktree } from '../../../src/service/identity/worktree.ts'
import { Catalogue } from '../../../src/service/ticket/catalogue.ts'
import { ticketDoctorReport } from '../../../src/service/ticket/doctor/report.ts'
import { worktreeIdOf } from '../../../src/service/ticket/doctor/worktrees.ts'
import { formatTicket } from '../../../src/service/ticket/front-matter.ts'
import type { Ticket } from '../../../src/service/ticket/ticket.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { StillClock, holder } from '../../support/cast.ts'

// A repository full of tickets, and a doctor who comes when called.

/** Ids of tickets in the order of their time. */
export const idOf = (name: string, number = 1): string => `20260101-0000${String(number).padStart(2, '0')}-${name}`

/** A ULID in the order of its number. */
export const eventId = (number: number): string => `01KE00000000000000000${String(number).padStart(5, '0')}`

export const ticket = (id: string, more: Partial<Ticket> = {}): Ticket => ({
  id,
  slug: id.slice(16),
  title: 'Fix the login',
  status: 'open',
  kind: 'task',
  priority: 'P2',
  labels: [],
  workflowState: 'ready',
  createdAt: '2026-01-01T00:00:00Z',
  updatedAt: '2026-01-01T00:00:00Z',
  assignee: null,
  legacyTicket: null,
  queuedBy: null,
  queuedAt: null,
  dependsOn: [],
  gates: [],
  ...more,
})

export const event = (number: number, type: string, more: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({ id: eventId(number), type, at: '2026-01-01T00:00:00.000Z', actor: 'agent:ann', ...more })

interface Doc {
  readonly ok: boolean
  readonly findings: readonly {
    readonly severity: string
    readonly code: string
    readonly file: string | null
    readonly line: number | null
    readonly message: string
    readonly fix: string | null
  }[]
  readonly count: number
  readonly fixed?: readonly { readonly file: string; readonly code: string; readonly diff: string }[]
  readonly error?: { readonly exit: number; readonly message: string; readonly hint: string }
}

export interface Visit {
  readonly exit: number
  readonly document: Doc
  readonly lines: readonly string[]
  /** `severity code place`, the worst first. */
  readonly said: readonly string[]
}

export class Ward {
  readonly root = fs.realpathSync(fs.mkdtempSync(path.join(inject('runFolder'), 'ward-')))
  readonly clock = new StillClock()
  readonly store = new MemoryStore({ now: () => this.clock.now() })
  readonly coordinator = new Coordinator(this.store, defaultPolicy, 'test')
  /** Of the doctor. */
  nowMs = Date.now()
  /** The log can be read. */
  readable = true
  holder: Holder | null = null

  constructor() {
    this.git('init', '-q')
    this.write('.gitattributes', '.leasehold/tickets/*/events.jsonl merge=union\n')
  }

  git(...args: readonly string[]): string {
    return execFileSync('git', args, { cwd: this.root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  }

  at(...names: readonly string[]): string {
    return path.join(this.root, ...names)
  }

  write(name: string, content: string | Uint8Array): void {
    fs.mkdirSync(path.dirname(this.at(name)), { recursive: true })
    fs.writeFileSync(this.at(name), content)
  }

  read(name: string): string {
    return fs.readFileSync(this.at(name), 'utf8')
  }

  file(id: string, name = 'ticket.md'): string {
    return `.leasehold/tickets/${id}/${name}`
  }

  /** A healthy ticket, but for what is asked. */
  add(id: string, more: Partial<Ticket> = {}, events: readonly string[] = [event(1, 'created')]): string {
    this.write(this.file(id), formatTicket(ticket(id, more), 'What to do.\n'))
    this.write(this.file(id, 'events.jsonl'), events.map(line => `${line}\n`).join(''))
    return id
  }

  /** A healthy closed one. */
  addClosed(id: string, more: Partial<Ticket> = {}): string {
    this.add(id, { status: 'closed', workflowState: 'done', ...more })
    this.write(this.file(id, 'resolution.md'), 'Done.\n')
    return id
  }

  change(name: string, from: string | RegExp, to: string): void {
    const before = this.read(name)
    const after = before.replace(from, to)
    if (after === before) throw new Error(`${String(from)} is not in ${name}`)
    this.write(name, after)
  }

  /** Somebody of this worktree. */
  me(agentId = 'agent:ann'): Holder {
    return holder(agentId, null, ensureWorktree(findRepository(this.root, {})).worktreeId)
  }

  async claim(id: string, who: Holder = this.me(), reason?: string): Promise<void> {
    const request = { resources: [`ticket:${id}`], ttlSecs: 600, ...(reason === undefined ? {} : { reason }) }
    const answer = await this.coordinator.acquire({ holder: who }, request)
    if (!answer.ok) throw new Error(`${id} was refused`)
  }

  async visit(fix = false, root = this.root): Promise<Visit> {
    const repository = findRepository(root, {})
    const report = await ticketDoctorReport({
      repository,
      catalogue: Catalogue.open(repository, null),
      reading: this.readable ? await this.store.view() : null,
      nowMs: this.nowMs,
      worktreeId: worktreeIdOf(repository),
      otherClones: false,
      fix,
      holder: this.holder,
    })
    const document = report.document as unknown as Doc
    const place = (file: string | null, line: number | null): string =>
      (file ?? 'log').replace('.leasehold/tickets/', '') + (line === null ? '' : `:${line}`)
    const said = document.findings.map(({ severity, code, file, line }) => `${severity} ${code} ${place(file, line)}`)
    return { exit: report.exit, document, lines: report.lines, said }
  }
}
