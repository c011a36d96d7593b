import fs from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseTicket } from '../../../src/service/ticket/front-matter.ts'
import type { Tracker } from '../../../src/service/ticket/import/imported.ts'
import { parseJson } from '../../../src/service/ticket/import/source.ts'
import { Room } from './room.ts'

// Nobody knows what is in other people's trackers: whatever a record says, it is imported, warned of or refused, and what is written is sound.

const word = fc.constantFrom(
  '',
  'open',
  'closed',
  'done',
  'ready',
  'null',
  'true',
  '12',
  ' x ',
  'a: b #c',
  "it's",
  '"q"',
  '- [x]',
  '日本語',
  'é\u0301',
  '\u2028',
  'a\nb\r\n',
  '\0',
  '\ud800',
  '---',
  '__proto__',
  'constructor',
  '2026-01-01T00:00:00Z',
  '0001-01-01T00:00:00Z',
  '2026-13-45T99:99:99Z',
  '9999-12-31T23:59:59-12:00',
)
const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: word },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
  fc.constantFrom(null, true, 0, 1.5, -1, 1e30),
  fc.array(word, { maxLength: 3 }),
  fc.array(
    fc.dictionary(
      fc.constantFrom('id', 'name', 'login', 'depends_on_id', 'type', 'author', 'text', 'body', 'created_at', 'createdAt'),
      word,
    ),
    { maxLength: 3 },
  ),
  fc.dictionary(word, fc.oneof(word, fc.dictionary(fc.constantFrom('status', 'updated_by', 'updated_at', 'command'), word))),
)
const record = (keys: readonly string[]): fc.Arbitrary<Record<string, unknown>> =>
  fc.dictionary(fc.constantFrom(...keys), value, { maxKeys: keys.length })

const common = ['title', 'state', 'status', 'priority', 'labels', 'assignee', 'created_at', 'updated_at', 'description', 'zzz']
const kinds: readonly (readonly [Tracker, fc.Arbitrary<Readonly<Record<string, unknown>>>])[] = [
  [
    'jit',
    record([...common, 'dependencies', 'gates_status', 'context', 'documents']).map(more => ({
      'issues/a.json': { title: 't', ...more, id: 'a', gates_required: more['labels'] },
      'issues/b.json': { ...more, id: 'b', gates_required: [] },
      'gates.json': { gates: { g: more, [JSON.stringify(more['title']) ?? '']: { mode: 'auto', checker: more } } },
    })),
  ],
  [
    'beads',
    record([...common, 'design', 'issue_type', 'comments', 'dependencies', 'close_reason', 'closed_at']).map(more => ({
      'issues.jsonl': `${JSON.stringify({ ...more, id: 'a', issue_type: more['zzz'] })}\n${JSON.stringify(more)}\n`,
    })),
  ],
  [
    'github',
    record([
      ...common,
      'body',
      'stateReason',
      'assignees',
      'author',
      'comments',
      'createdAt',
      'updatedAt',
      'closedAt',
      'milestone',
      'url',
    ]).map(more => ({ 'issues.json': [{ ...more, number: 1 }, more] })),
  ],
  [
    'yoi',
    fc
      .tuple(
        record([
          ...common,
          'id',
          'slug',
          'kind',
          'workflow_state',
          'legacy_ticket',
          'queued_by',
          'queued_at',
          'depends_on',
          '__proto__',
          'a b',
        ]),
        word,
        fc.array(
          fc.oneof(
            word,
            fc.constantFrom('<!-- event: plan author: a at: 2026-01-01T00:00:00Z -->', '<!-- event: x -->', '```', '```md', '---'),
          ),
        ),
      )
      .map(([front, body, thread]) => ({
        't/item.md': `---\n${Object.entries(front)
          .map(([key, said]) => `${key}: ${typeof said === 'string' ? said : JSON.stringify(said)}\n`)
          .join('')}---\n\n${body}`,
        't/thread.md': thread.join('\n'),
      })),
  ],
]

describe.each(kinds)('whatever %s says', (from, files) => {
  it('becomes sound tickets, or a warning, or a refusal; and twice changes nothing', async () => {
    const room = new Room()
    await fc.assert(
      fc.asyncProperty(files, async said => {
        for (const inside of [path.join(room.root, '.leasehold'), room.source]) fs.rmSync(inside, { recursive: true, force: true })
        fs.mkdirSync(room.source)
        room.leave(said)
        try {
          const { imported, skipped, warnings } = await room.import(from)
          expect(imported + warnings.length + skipped).toBeGreaterThan(0)
          expect(room.ids()).toHaveLength(imported)
          expect(room.problems()).toEqual([])
          for (const id of room.ids()) expect(parseTicket(room.text(id), id).ticket.title).not.toBe('')
          expect(await room.import(from)).toMatchObject({ imported: 0, updated: 0, unchanged: imported })
        } catch (error) {
          if ((error as { code?: string }).code !== 'usage') throw error
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('broken JSON', () => {
  it('is broken on one of its lines', () => {
    fc.assert(
      fc.property(fc.json(), fc.nat(), fc.constantFrom('', '}', ']', '"', ',', ':', '\n', '{', '\\', 'nul'), (text, at, sign) => {
        const spread = JSON.stringify(JSON.parse(text), null, 1)
        const cut = at % (spread.length + 1)
        const broken = spread.slice(0, cut) + sign + spread.slice(cut + 1)
        const parsed = parseJson(broken)
        if ('value' in parsed) return
        const last = broken.split('\n').length
        expect(parsed.line).toBeGreaterThan(0)
        expect(parsed.line).toBeLessThanOrEqual(last)
        // What comes before that line is the beginning of some JSON: nothing in it is wrong yet.
        const before = broken.slice(0, cut).split('\n').length
        if (sign !== '' && sign !== '"') expect(parsed.line).toBeGreaterThanOrEqual(before)
      }),
      { numRuns: 1000 },
    )
  })
})
