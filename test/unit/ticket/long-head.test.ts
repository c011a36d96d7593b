import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { expect, inject, it, vi } from 'vitest'
import { findRepository } from '../../../src/host/git.ts'
import { Catalogue, type Listed } from '../../../src/service/ticket/catalogue.ts'
import { createTicketDirectory } from '../../../src/service/ticket/files.ts'
import type * as FrontMatter from '../../../src/service/ticket/front-matter.ts'
import { formatTicket, parseTicket } from '../../../src/service/ticket/front-matter.ts'

vi.mock('../../../src/service/ticket/front-matter.ts', async original => {
  const real = await original<typeof FrontMatter>()
  return { ...real, parseTicket: vi.fn(real.parseTicket) }
})

it('a ticket with very many dependencies is read without the YAML library', async () => {
  const root = fs.realpathSync(fs.mkdtempSync(path.join(inject('runFolder'), 'long-head-')))
  execFileSync('git', ['init', '-q'], { cwd: root })
  const ids = Array.from({ length: 150 }, (_, number) => `20260101-000000-a-task-of-many-${number}`)
  const [id, at] = ['20260102-000000-last', '2026-01-02T00:00:00Z']
  const ticket = {
    id,
    slug: 'last',
    title: 'Last',
    status: 'open',
    kind: 'task',
    priority: 'P2',
    labels: [],
    workflowState: 'ready',
    createdAt: at,
    updatedAt: at,
    assignee: null,
    legacyTicket: null,
    queuedBy: null,
    queuedAt: null,
    dependsOn: ids,
    gates: [],
  } as const
  createTicketDirectory(root, id, { 'ticket.md': formatTicket(ticket, 'Text\n'), 'events.jsonl': '' })
  const found: Listed[] = []
  for await (const listed of Catalogue.open(findRepository(root, {}), null).list()) found.push(listed)
  expect(found.map(listed => listed.ticket)).toEqual([ticket])
  expect(parseTicket).not.toHaveBeenCalled()
})
