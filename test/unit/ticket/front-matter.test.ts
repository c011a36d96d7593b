import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { editTicket, formatTicket, parseTicket, type Changes } from '../../../src/service/ticket/front-matter.ts'
import { scanTicket } from '../../../src/service/ticket/scan.ts'
import { priorities, statuses, workflowStates, type Ticket } from '../../../src/service/ticket/ticket.ts'
import { ticketToWire } from '../../../src/service/ticket/wire.ts'
import { beyond } from '../../support/skip.ts'

const factor = Number(process.env['LEASEHOLD_TEST_FACTOR'] ?? 1)
const realTickets = path.resolve(process.env['LEASEHOLD_TEST_DATA'] ?? '../shared/data', 'yoi-tickets')
const needsRealTickets = beyond(existsSync(realTickets), 'needs a collection of real tickets; LEASEHOLD_TEST_DATA names its folder')

const id = '20260607-220225-fix-login'
const ticket: Ticket = {
  id,
  slug: 'fix-login',
  title: 'Fix the login',
  status: 'open',
  kind: 'task',
  priority: 'P2',
  labels: [],
  workflowState: 'intake',
  createdAt: '2026-06-07T22:02:25Z',
  updatedAt: '2026-06-07T22:02:25Z',
  assignee: null,
  legacyTicket: null,
  queuedBy: null,
  queuedAt: null,
  dependsOn: [],
  gates: [],
}

const usual = `---
id: ${id}
slug: fix-login
title: 'Fix: the login'   # asked for by Ann
status: open
kind: task
# the people decide this
priority: P1
labels: [ui, "two words"]
created_at: 2026-06-07T22:02:25Z
updated_at: "2026-06-08T08:00:00Z"
assignee: null
team: {name: blue}
legacy_ticket:
depends_on:
  # first this
  - 20260601-000000-a
  - '20260601-000001-b' # and this

---

Body.
---
More.
`

const refusal = (run: () => unknown): { code: string; message: string; hint: string } => {
  try {
    run()
  } catch (error) {
    return error as { code: string; message: string; hint: string }
  }
  throw new Error('it was not refused')
}

describe('parseTicket', () => {
  it('reads every field, unknown keys and the body, and finds nothing wrong', () => {
    const { ticket: read, body, extra, problems } = parseTicket(usual, id)
    expect(problems).toEqual([])
    expect(read).toEqual({
      ...ticket,
      title: 'Fix: the login',
      priority: 'P1',
      labels: ['ui', 'two words'],
      updatedAt: '2026-06-08T08:00:00Z',
      dependsOn: ['20260601-000000-a', '20260601-000001-b'],
    })
    expect(extra).toEqual({ team: { name: 'blue' } })
    expect(body).toBe('Body.\n---\nMore.\n')
  })

  it('reads the same through CRLF, a BOM and without a final newline', () => {
    const expected = parseTicket(usual, id)
    const crlf = parseTicket(`\ufeff${usual.replaceAll('\n', '\r\n')}`, id)
    expect(crlf.ticket).toEqual(expected.ticket)
    expect(crlf.body).toBe(expected.body.replaceAll('\n', '\r\n'))
    expect(parseTicket(`---\n${usual.split('---')[1]}---`, id)).toMatchObject({ ticket: expected.ticket, body: '' })
  })

  it('takes a missing workflow_state for done when closed, else for intake', () => {
    expect(parseTicket(usual, id).ticket.workflowState).toBe('intake')
    expect(parseTicket(usual.replace('status: open', 'status: closed'), id).ticket.workflowState).toBe('done')
  })

  it('takes what YAML reads as a number or a truth for the text that it is', () => {
    const { ticket: read, problems } = parseTicket(usual.replace("'Fix: the login'", '0x1F').replace('[ui,', '[true, 1.0,'), id)
    expect(problems).toEqual([])
    expect(read).toMatchObject({ title: '0x1F', labels: ['true', '1.0', 'two words'] })
  })

  it.each([
    ['no front matter', 'Just text\n', 'no_front_matter', 1, null],
    ['an unclosed one', '---\nid: x\n', 'unclosed_front_matter', 1, null],
    ['broken YAML', usual.replace('labels: [ui', 'labels: [[ui'), 'yaml', 10, null],
    ['a list instead of keys', '---\n- a\n---\n', 'yaml', 2, null],
    ['a key set twice', usual.replace('kind: task', 'status: closed'), 'duplicate_key', 6, 'status'],
    ['a missing key', usual.replace('kind: task\n', ''), 'missing_field', 1, 'kind'],
    ['an empty key', usual.replace('kind: task', 'kind:'), 'missing_field', 6, 'kind'],
    ['an unknown status', usual.replace('status: open', 'status: opened'), 'unknown_value', 5, 'status'],
    ['a priority in small letters', usual.replace('P1', 'p1'), 'unknown_value', 8, 'priority'],
    ['another id', usual.replace('fix-login', 'fix-logout'), 'id_mismatch', 2, 'id'],
    ['a time that is none', usual.replace('created_at: 2026', 'created_at: 26'), 'bad_value', 10, 'created_at'],
    ['a list that is none', usual.replace('[ui, "two words"]', 'ui'), 'bad_value', 9, 'labels'],
    ['a value that is a list', usual.replace('kind: task', 'kind: [task]'), 'bad_value', 6, 'kind'],
    ['an alias', usual.replace('kind: task', 'kind: *x'), 'bad_value', 6, 'kind'],
    ['too many aliases', usual.replace('team: {name: blue}', bomb()), 'yaml', 13, 'team'],
  ])('names %s, with its line', (_, text, code, line, key) => {
    const { problems, ticket: guess } = parseTicket(text, id)
    expect(problems[0]).toMatchObject({ code, line, key })
    expect(guess.id).toBe(id)
    expect(scanTicket(text)?.id).not.toBe(id)
  })

  it.each([
    ['brackets', `a: ${'['.repeat(30_000)}${']'.repeat(30_000)}`, 'nested too deeply'],
    ['open braces', `a: ${'{a: '.repeat(10_000)}`, 'nested too deeply'],
    ['dashes', '- '.repeat(30_000), 'nested too deeply'],
    ['question marks', '? '.repeat(30_000), 'nested too deeply'],
    ['lines', `a: 1\n${'# more\n'.repeat(10_000)}`, 'longer than 65536'],
  ])('does not fall over a heap of %s', (_, head, why) => {
    const text = `---\n${head}\n---\n`
    expect(parseTicket(text, id).problems[0]).toMatchObject({ code: 'yaml', message: expect.stringContaining(why) })
    expect(scanTicket(text)).toBeNull()
    expect(refusal(() => editTicket(text, { title: 'x' }))).toMatchObject({ code: 'usage' })
  })

  it('is not slow with thousands of keys, and takes every name for a key', () => {
    const keys = Array.from({ length: 6000 }, (_, number) => `k${number}: 1\n`).join('')
    const { extra, problems } = parseTicket(usual.replace('team: {name: blue}\n', `${keys}__proto__: x\n`), id)
    expect(problems).toEqual([])
    expect(Object.keys(extra)).toHaveLength(6001)
    expect(Object.hasOwn(extra, '__proto__')).toBe(true)
  })

  it('never throws, and always has an answer of the right form', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), text => {
        for (const whole of [text, `---\n${text}\n---\n`]) {
          const { ticket: guess } = parseTicket(whole, id)
          expect(statuses).toContain(guess.status)
          expect(priorities).toContain(guess.priority)
          expect(workflowStates).toContain(guess.workflowState)
          expect(guess.title).not.toBe('')
        }
      }),
      { numRuns: 300 * factor },
    )
  })
})

function bomb(): string {
  const levels = ['team:', '  a: &a [x, x, x, x, x, x, x, x, x, x]']
  for (const [at, name] of Array.from('bcdef').entries())
    levels.push(`  ${name}: &${name} [${Array(10).fill(`*${'abcde'[at]}`).join(', ')}]`)
  return levels.join('\n')
}

describe('scanTicket', () => {
  it('reads what formatTicket writes', () => {
    expect(scanTicket(formatTicket(ticket, 'Body'))).toEqual(ticket)
    expect(scanTicket(Buffer.from(formatTicket({ ...ticket, title: '日本語 😀' }, 'Body')))).toEqual({ ...ticket, title: '日本語 😀' })
  })

  it.each([
    ['an anchor', 'title: &a x'],
    ['a block scalar', 'title: |-\n  x'],
    ['a continued line', 'title: x\n  y'],
    ['an escape', 'title: "\\x41"'],
    ['a map', 'title: x\nteam: {a: b}'],
    ['a comma in quotes in a list', 'title: x\nmore: ["a, b"]'],
    ['a document marker', 'title: x\n...'],
    ['a tab', 'title: x\ty'],
    ['a directive', '%YAML 1.2\ntitle: x'],
    ['an odd line ending', 'title: x\ry'],
  ])('leaves %s to the library', (_, lines) => {
    expect(scanTicket(formatTicket(ticket, '').replace('title: Fix the login', lines))).toBeNull()
  })

  const pieces = [
    ...Array.from('abP0: #\'"[]{},&*!|>%@`-?~.\\/=<\n\r\t \u0085\u2028\ufeff\u00a0\u3000日é😀'),
    '\n- ',
    '\n  ',
    ': ',
    ' #',
    '---',
    '...',
    'null',
    'true',
    "''",
    ', ',
  ]
  const mutation = fc.record({ at: fc.nat(), drop: fc.nat(6), put: fc.array(fc.constantFrom(...pieces), { maxLength: 3 }) })

  it('says what parseTicket says, whatever the text', () => {
    const starts = [usual, formatTicket({ ...ticket, labels: ['a', 'b c'], title: "it's" }, 'Body'), usual.replaceAll('\n', '\r\n')]
    let scanned = 0
    fc.assert(
      fc.property(fc.constantFrom(...starts), fc.array(mutation, { minLength: 0, maxLength: 3 }), (start, mutations) => {
        let text = start
        for (const { at, drop, put } of mutations) {
          const from = at % Math.max(1, text.length)
          text = text.slice(0, from) + put.join('') + text.slice(from + drop)
        }
        // As bytes it is decoded as UTF-8; so compare with what such bytes say.
        const bytes = Buffer.from(text)
        for (const [found, source] of [
          [scanTicket(text), text],
          [scanTicket(bytes), bytes.toString('utf8')],
        ] as const) {
          if (found === null) continue
          scanned++
          const parsed = parseTicket(source, found.id)
          expect(parsed.problems).toEqual([])
          expect(found).toEqual(parsed.ticket)
        }
      }),
      { numRuns: 3000 * factor },
    )
    expect(scanned).toBeGreaterThan(300)
  })
})

// A front matter in pieces: what stands before a value, the value, and what stands behind it.
interface Piece {
  readonly key: string
  readonly before: string
  readonly value: string
  readonly after: string
}

const word = fc.oneof(
  fc.constantFrom(
    'null',
    'yes',
    '12',
    '@x',
    '#x',
    'a: b',
    'x #y',
    '- x',
    '~',
    '[x]',
    '{a}',
    "it's",
    '"q"',
    'a,b',
    '日本',
    '1e3',
    '.inf',
    '*a',
    '&a',
    '!x',
    '%',
    '`',
    '|',
    '>',
    '---',
    '...',
    'x:',
    '\\n',
    'Ünï',
    '0x1F',
    '2026-01-01',
    '?',
    '-',
    'true',
  ),
  fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter(text => !/[\n\r\u0085\u2028\u2029]/.test(text)),
)

const single = (text: string): string => `'${text.replaceAll("'", "''")}'`
const double = (text: string): string => JSON.stringify(text).replaceAll('\u007f', '\\x7f')
const unprintable = /[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]/

const scalar = word.chain(text =>
  fc.constantFrom(
    ...(/^[a-z][a-z0-9-]*$/.test(text) && !/^(null|true|false)$/.test(text) ? [text] : []),
    ...(unprintable.test(text) ? [] : [single(text)]),
    double(text),
  ),
)
const block = fc.tuple(
  fc.constantFrom('|', '>', '|-', '>-', '|+', '|2-', '|- # why'),
  fc.array(fc.stringMatching(/^[a-z:#-]{1,8}$/), { minLength: 1, maxLength: 3 }),
)
const comment = fc.constantFrom('', '', ' # note', '   # a: b')
const list = fc.oneof(
  fc.array(scalar, { maxLength: 3 }).map(items => ` [${items.join(', ')}]`),
  fc.array(scalar, { minLength: 1, maxLength: 3 }).map(items => ` [\n  ${items.join(',\n  ')}\n  ]`),
  fc
    .tuple(fc.constantFrom('', '  ', '    '), fc.array(fc.tuple(scalar, comment), { minLength: 1, maxLength: 3 }))
    .map(([indent, items]) => items.map(([item, note]) => `\n${indent}- ${item}${note}`).join('')),
)

const lists = new Set(['labels', 'depends_on', 'gates'])
const words: Readonly<Record<string, readonly string[]>> = { status: statuses, priority: priorities, workflow_state: workflowStates }
const times = new Set(['created_at', 'updated_at', 'queued_at'])
const nullable = new Set(['assignee', 'legacy_ticket', 'queued_by', 'queued_at'])

function piece(key: string): fc.Arbitrary<Piece> {
  const made = (before: string, value: string, after: string): Piece => ({ key, before: `${key}:${before}`, value, after })
  if (lists.has(key)) return fc.tuple(list, comment).map(([value, note]) => made('', value, value.startsWith('\n') ? '\n' : `${note}\n`))
  if (key === 'id') return fc.constant(made(' ', id, '\n'))
  const fixed = words[key] ?? (times.has(key) ? ['2026-06-07T22:02:25Z', '2026-06-07T22:02:25.123+09:00'] : null)
  const value = fixed === null ? scalar : fc.constantFrom(...fixed).chain(text => fc.constantFrom(text, single(text), double(text)))
  return fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .tuple(
          fc.constantFrom(' ', '   ', '\n  '),
          fc.tuple(fc.constantFrom('', '', '', '!!str '), value).map(texts => texts.join('')),
          comment,
        )
        .map(([gap, text, note]) => made(gap, text, `${note}\n`)),
    },
    ...(nullable.has(key)
      ? [{ weight: 2, arbitrary: fc.tuple(fc.constantFrom('', ' null', ' ~'), comment).map(([text, note]) => made('', text, `${note}\n`)) }]
      : []),
    ...(fixed === null
      ? [{ weight: 1, arbitrary: block.map(([head, lines]) => made(' ', `${head}\n${lines.map(line => `  ${line}`).join('\n')}\n`, '')) }]
      : []),
  )
}

const knownKeys = Object.keys(ticketToWire(ticket))
const unknown = fc.constantFrom(
  '# a comment\n',
  'quiet: on\n\n',
  'calm: on\n  # indented\n',
  'team: {name: blue, size: 3}\n',
  'x-y: &anchor [1, *anchor]\n'.replace(', *anchor', ''),
  'odd: |\n  text: x\n\n  more\n',
  '"quoted key": ~\n',
  'tags:\n  - !!int 3 # three\n',
)

const documents = fc
  .record({
    keys: fc.shuffledSubarray(knownKeys, { minLength: 4 }),
    bom: fc.boolean(),
    crlf: fc.boolean(),
    others: fc.uniqueArray(unknown, { maxLength: 3 }),
    body: fc.constantFrom('', '\nBody\n', 'Tight body', '\n\n  two lines\n---\nid: x\n---', '\n日本語\n'),
    fence: fc.constantFrom('---', '---  '),
  })
  .chain(shape =>
    fc.tuple(...shape.keys.map(piece)).map(pieces => {
      const eol = shape.crlf ? '\r\n' : '\n'
      const lines = (text: string): string => text.replaceAll('\n', eol)
      const parts: (string | Piece)[] = [...pieces]
      for (const [at, other] of shape.others.entries()) parts.splice((at * 3) % (parts.length + 1), 0, other)
      return {
        start: `${shape.bom ? '\ufeff' : ''}---${eol}`,
        parts: parts.map(part =>
          typeof part === 'string'
            ? lines(part)
            : { key: part.key, before: lines(part.before), value: lines(part.value), after: lines(part.after) },
        ),
        end: `${shape.fence}${shape.body === '' ? '' : eol}${lines(shape.body)}`,
        eol,
      }
    }),
  )

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 3 })
const changed = fc.record({
  title: maybe(word),
  status: maybe(fc.constantFrom(...statuses)),
  priority: maybe(fc.constantFrom(...priorities)),
  labels: maybe(fc.array(word, { maxLength: 4 })),
  workflowState: maybe(fc.constantFrom(...workflowStates)),
  updatedAt: maybe(fc.constant('2026-11-21T10:00:00Z')),
  assignee: maybe(fc.option(word)),
  queuedBy: maybe(fc.option(word)),
  queuedAt: maybe(fc.option(fc.constant('2026-11-21T10:00:00Z'))),
  dependsOn: maybe(fc.array(word, { maxLength: 3 })),
  gates: maybe(fc.array(word, { maxLength: 3 })),
  slug: maybe(word),
  extra: maybe(fc.dictionary(fc.constantFrom('team-x', 'note'), word)),
})

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
const wireNames: Readonly<Record<string, keyof Ticket>> = Object.fromEntries(
  (Object.keys(ticket) as (keyof Ticket)[]).map(field => [field.replaceAll(/[A-Z]/g, letter => `_${letter.toLowerCase()}`), field]),
)

describe('editTicket', () => {
  it('changes these bytes and no others', () => {
    const result = editTicket(usual, {
      title: 'Fix: the "login"',
      priority: 'P0',
      labels: ['two words', 'new'],
      updatedAt: '2026-11-21T10:00:00Z',
      assignee: 'ann',
      legacyTicket: 'x/1',
      dependsOn: ['20260601-000001-b', '20260601-000002-c'],
      workflowState: 'ready',
      gates: ['tests'],
    })
    expect(result).toBe(
      usual
        .replace("'Fix: the login'", `'Fix: the "login"'`)
        .replace('P1', 'P0')
        .replace('[ui, "two words"]', '["two words", new]')
        .replace('"2026-06-08T08:00:00Z"', '"2026-11-21T10:00:00Z"')
        .replace('assignee: null', 'assignee: ann')
        .replace('legacy_ticket:', 'legacy_ticket: x/1')
        .replace('  - 20260601-000000-a\n', '')
        .replace('# and this\n', '# and this\n  - 20260601-000002-c\n')
        .replace('c\n\n---', 'c\n\nworkflow_state: ready\ngates: [tests]\n---'),
    )
  })

  it('leaves a file as it is when it says so already', () => {
    expect(editTicket(usual, { title: 'Fix: the login', labels: ['ui', 'two words'], assignee: null, legacyTicket: null })).toBe(usual)
    expect(editTicket(usual, {})).toBe(usual)
  })

  it('empties a list of lines', () => {
    expect(editTicket(usual, { dependsOn: [] })).toBe(usual.replace(/depends_on:[^]*?# and this\n/, 'depends_on: []\n  # first this\n'))
  })

  it('replaces the body in the line endings of the file', () => {
    expect(editTicket(usual, { body: 'New\n' })).toBe(usual.replace(/Body\.[^]*/, 'New\n'))
    expect(editTicket(usual.replaceAll('\n', '\r\n'), { body: 'a\nb' })).toBe(usual.replace(/Body\.[^]*/, 'a\nb').replaceAll('\n', '\r\n'))
    expect(editTicket('---\nid: x\n---', { body: 'b' })).toBe('---\nid: x\n---\n\nb')
    expect(editTicket('---\nid: x\n---\nold', { body: '\nb' })).toBe('---\nid: x\n---\n\n\nb')
    expect(editTicket('---\nid: x\n---\n\nold', { body: '' })).toBe('---\nid: x\n---\n\n')
  })

  it('fills empty front matter', () => {
    expect(editTicket('---\n---\n', { title: 'x' })).toBe('---\ntitle: x\n---\n')
    expect(editTicket('---\n# nothing yet\n---\n', { title: 'x' })).toBe('---\n# nothing yet\ntitle: x\n---\n')
    expect(editTicket('---\n  kind: task\n---\n', { title: 'x' })).toBe('---\n  kind: task\n  title: x\n---\n')
  })

  it.each<[string, string, Changes]>([
    ['a title of two lines', usual, { title: 'a\nb' }],
    ['a label with a line break', usual, { labels: ['a\u2028b'] }],
    ['an empty title', usual, { title: '' }],
    ['one of our keys as an extra one', usual, { extra: { id: 'x' } }],
    ['a key that is none', usual, { extra: { 'a: b': 'x' } }],
    ['a file without front matter', 'Text', { title: 'x' }],
    ['a file with broken front matter', usual.replace('[ui', '[[ui'), { title: 'x' }],
    ['a file whose front matter is a list', '---\n- a\n---\n', { title: 'x' }],
    ['a file whose front matter is in braces', '---\n{id: x}\n---\n', { title: 'x' }],
    ['a value that others refer to', '---\ntitle: &t x\nmore: *t\n---\n', { title: 'y' }],
  ])('refuses %s', (_, text, changes) => {
    expect(refusal(() => editTicket(text, changes))).toMatchObject({ code: 'usage' })
  })

  it('keeps every byte outside the changed values, and reads as it was told', () => {
    fc.assert(
      fc.property(documents, changed, ({ start, parts, end, eol }, wishes) => {
        const changes = Object.fromEntries(Object.entries(wishes).filter(([, value]) => value !== undefined)) as Changes
        const text = start + parts.map(part => (typeof part === 'string' ? part : part.before + part.value + part.after)).join('') + end
        const before = parseTicket(text, id)
        expect(before.problems.filter(({ code }) => code !== 'missing_field')).toEqual([])
        const result = editTicket(text, changes)
        const after = parseTicket(result, id)

        const { extra, ...fields } = changes
        expect(after.body).toBe(before.body)
        expect(after.ticket).toEqual({ ...before.ticket, ...fields, ...followUps(before.ticket, fields, result) })
        expect(after.extra).toEqual({ ...before.extra, ...extra })

        const has = (key: string): boolean => parts.some(part => typeof part === 'object' && part.key === key)
        const touched = (key: string): boolean => Object.hasOwn(changes, wireNames[key]!)
        const pattern = parts.map(part =>
          typeof part === 'string'
            ? escaped(part)
            : escaped(part.before) + (touched(part.key) ? '[^]*?' : escaped(part.value)) + escaped(part.after),
        )
        const added = [...Object.keys(wireNames).filter(key => touched(key) && !has(key)), ...Object.keys(extra ?? {})].map(
          key => `${key}: .*${escaped(eol)}`,
        )
        expect(result).toMatch(new RegExp(`^${escaped(start)}${pattern.join('')}${added.join('')}${escaped(end)}$`))
      }),
      { numRuns: 1000 * factor },
    )
  })
})

/** What is guessed from other fields while it is missing itself. */
function followUps(before: Ticket, fields: Changes, result: string): Partial<Ticket> {
  const missing = (key: string): boolean => !new RegExp(`^${key}:`, 'm').test(result)
  return {
    ...(missing('workflow_state') ? { workflowState: (fields.status ?? before.status) === 'closed' ? 'done' : 'intake' } : {}),
    ...(missing('title') ? { title: fields.slug ?? before.slug } : {}),
  }
}

describe('formatTicket', () => {
  it('writes plain values where YAML allows them', () => {
    expect(formatTicket({ ...ticket, labels: ['ui', 'a, b'], title: 'Löse: das' }, 'Body\n')).toBe(
      `---\nid: ${id}\nslug: fix-login\ntitle: 'Löse: das'\nstatus: open\nkind: task\npriority: P2\nlabels: [ui, 'a, b']\nworkflow_state: intake\n` +
        'created_at: 2026-06-07T22:02:25Z\nupdated_at: 2026-06-07T22:02:25Z\nassignee: null\nlegacy_ticket: null\nqueued_by: null\nqueued_at: null\n' +
        'depends_on: []\ngates: []\n---\n\nBody\n',
    )
  })

  it('is read as it was', () => {
    fc.assert(
      fc.property(word, word, fc.array(word, { maxLength: 4 }), fc.string({ unit: 'grapheme' }), (title, assignee, labels, body) => {
        const made = { ...ticket, title, assignee, labels, dependsOn: labels }
        const text = formatTicket(made, body)
        const parsed = parseTicket(text, id)
        expect(parsed).toEqual({ ticket: made, body, extra: {}, problems: [] })
        expect([null, made]).toContainEqual(scanTicket(text))
      }),
      { numRuns: 1000 * factor },
    )
  })

  it('refuses a title of two lines', () => {
    expect(refusal(() => formatTicket({ ...ticket, title: 'a\nb' }, ''))).toMatchObject({ code: 'usage' })
  })
})

needsRealTickets.describe('real tickets', () => {
  const files = readdirSync(realTickets, { recursive: true, encoding: 'utf8' }).filter(name => path.basename(name) === 'item.md')

  it.each(files)('%s is read without a doubt, edited and written again', name => {
    const text = readFileSync(path.join(realTickets, name), 'utf8')
    const own = path.basename(path.dirname(name))
    const parsed = parseTicket(text, own)
    expect(parsed.problems).toEqual([])
    expect(scanTicket(Buffer.from(text))).toEqual(parsed.ticket)
    expect(text.endsWith(parsed.body)).toBe(true)
    const changes = { title: 'x: y', labels: ['a', 'b c'], gates: ['g'], assignee: 'null', workflowState: 'done' } as const
    expect(parseTicket(editTicket(text, changes), own)).toEqual({ ...parsed, ticket: { ...parsed.ticket, ...changes } })
    expect(parseTicket(formatTicket(parsed.ticket, parsed.body), own)).toMatchObject({ ticket: parsed.ticket, body: parsed.body })
  })
})
