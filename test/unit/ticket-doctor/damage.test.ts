import fc from 'fast-check'
import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { Ward, event, idOf } from './ward.ts'

// A doctor answers, whatever lies before it; and mending loses nothing that can be read.

const a = idOf('alpha', 1)
const b = idOf('beta', 2)

/** A flipped bit, a piece cut out, bytes put in. */
const damage = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), bit: fc.nat(7) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), length: fc.integer({ min: 1, max: 60 }) }),
  fc.record({
    kind: fc.constant('insert' as const),
    at: fc.nat(),
    bytes: fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 8 }),
      fc
        .constantFrom(
          '\n',
          '\r\n',
          '---\n',
          '<<<<<<< HEAD\n',
          '=======\n',
          '>>>>>>> x\n',
          ': ',
          '[',
          '*a',
          '&a ',
          '\t',
          '\u2028',
          '\ufeff',
          '\0',
        )
        .map(text => Buffer.from(text)),
    ),
  }),
)

type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never

function damaged(bytes: Buffer, how: Damage): Buffer {
  const at = how.at % (bytes.length + 1)
  if (how.kind === 'cut') return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + how.length)])
  if (how.kind === 'insert') return Buffer.concat([bytes.subarray(0, at), how.bytes, bytes.subarray(at)])
  const copy = Buffer.from(bytes)
  if (at < copy.length) copy[at] = copy[at]! ^ (1 << how.bit)
  return copy
}

/** Each line of events that is a JSON object, as such. */
function readable(text: string): ReadonlySet<string> {
  const found = new Set<string>()
  for (const line of text.split(/\r?\n/)) {
    try {
      found.add(JSON.stringify(JSON.parse(line)))
    } catch {
      // Not JSON: nothing that could be lost by being read.
    }
  }
  return found
}

const runs = 400

describe('damage', () => {
  const ward = new Ward()
  ward.add(a)
  ward.addClosed(b, { dependsOn: [a], gates: ['tests'], labels: ['ui', 'x'], workflowState: 'done' })
  ward.write('.leasehold/gates/tests.yaml', 'command: npm test\n')
  const lines = [event(1, 'created'), event(2, 'gate', { gate: 'tests', result: 'passed' }), event(3, 'closed', { resolution: 'ok' })]
  ward.write(ward.file(b, 'events.jsonl'), lines.map(line => `${line}\n`).join(''))

  it.each(['ticket.md', 'events.jsonl', 'gate'])('of %s is told, never thrown', async which => {
    const file = which === 'gate' ? '.leasehold/gates/tests.yaml' : ward.file(b, which)
    const good = fs.readFileSync(ward.at(file))
    await fc.assert(
      fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async how => {
        ward.write(file, how.reduce(damaged, good))
        const { document, exit, lines: shown } = await ward.visit()
        const total = ward.read(file).split('\n').length
        expect(exit).toBe(document.findings.some(({ severity }) => severity === 'error') ? 2 : 0)
        expect(shown.length).toBeGreaterThan(0)
        for (const { line, file: said } of document.findings) {
          if (line === null || said !== file) continue
          expect(line).toBeGreaterThanOrEqual(1)
          expect(line).toBeLessThanOrEqual(total)
        }
      }),
      { numRuns: runs },
    )
    ward.write(file, good)
    expect((await ward.visit()).said).toEqual([])
  })

  it('of events is mended without losing one that can be read, and mending twice is mending once', async () => {
    const file = ward.file(b, 'events.jsonl')
    const good = fs.readFileSync(ward.at(file))
    await fc.assert(
      fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 4 }), async how => {
        ward.write(file, how.reduce(damaged, good))
        const before = readable(ward.read(file))
        await ward.visit(true)
        const once = fs.readFileSync(ward.at(file))
        const after = readable(once.toString('utf8'))
        for (const line of before) expect(after).toContain(line)
        expect((await ward.visit(true)).document.fixed).toEqual([])
        expect(fs.readFileSync(ward.at(file))).toEqual(once)
      }),
      { numRuns: runs },
    )
    ward.write(file, good)
  })

  it('of a ticket.md that can be mended at all is mended without touching the body', async () => {
    const file = ward.file(b)
    const good = fs.readFileSync(ward.at(file))
    await fc.assert(
      fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), async how => {
        ward.write(file, how.reduce(damaged, good))
        const before = ward.read(file)
        await ward.visit(true)
        const after = ward.read(file)
        const body = before.slice(before.lastIndexOf('---'))
        if (after !== before) expect(after.endsWith(body)).toBe(true)
      }),
      { numRuns: runs },
    )
    ward.write(file, good)
  })
})
