import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isUlid } from '../../../src/core/ulid.ts'
import {
  appendEvents,
  maxEventBytes,
  mintEventId,
  parseEvents,
  readEvents,
  tidyEvents,
  type TicketEvent,
} from '../../../src/service/ticket/events.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lh-events-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const at = '2026-06-07T22:02:25Z'
let clock = 1_780_000_000_000
const event = (type: string, more: Record<string, unknown> = {}): TicketEvent => ({
  id: mintEventId(clock++),
  type,
  at,
  actor: 'ann',
  ...more,
})
const lines = (...events: readonly object[]): string => events.map(each => `${JSON.stringify(each)}\n`).join('')
const file = (): string => readFileSync(join(root, 'events.jsonl'), 'utf8')
const fault = (run: () => unknown): { code: string; message: string; hint?: string } => {
  try {
    run()
  } catch (error) {
    return error as { code: string; message: string; hint?: string }
  }
  throw new Error('nothing was thrown')
}

describe('mintEventId', () => {
  it('is a ULID, each after the one before', () => {
    const ids = Array.from({ length: 10_000 }, () => mintEventId())
    expect(ids.every(isUlid)).toBe(true)
    expect([...new Set(ids)].sort()).toEqual(ids)
  })

  it('does not go back with the clock', () => {
    const later = mintEventId(Date.now() + 60_000)
    expect(mintEventId(0) > later).toBe(true)
  })
})

describe('appendEvents', () => {
  it('makes the file, and appends to it', () => {
    const [one, two, three] = [event('created'), event('comment', { message: 'a\nb \u2028 "c"' }), event('closed')]
    appendEvents(root, [one])
    appendEvents(root, [two, three])
    appendEvents(root, [])
    expect(file()).toBe(lines(one, two, three))
    expect(parseEvents(file())).toEqual({ events: [one, two, three], problems: [] })
  })

  it('leaves a torn line on a line of its own', () => {
    const [one, two] = [event('created'), event('comment')]
    appendEvents(root, [one])
    appendFileSync(join(root, 'events.jsonl'), '{"id":"01J')
    appendEvents(root, [two])
    const { events, problems } = parseEvents(file())
    expect(events).toEqual([one, two])
    expect(problems).toMatchObject([{ code: 'malformed_event', line: 2 }])
  })

  it('heals a file that an editor left without its last line ending', () => {
    const [one, two] = [event('created'), event('comment')]
    writeFileSync(join(root, 'events.jsonl'), JSON.stringify(one))
    appendEvents(root, [two])
    expect(file()).toBe(lines(one, two))
  })

  it('follows no symbolic link, waits for no pipe, and fills no disk', () => {
    writeFileSync(join(root, 'other'), '')
    symlinkSync(join(root, 'other'), join(root, 'events.jsonl'))
    expect(fault(() => appendEvents(root, [event('comment')]))).toMatchObject({ code: 'unavailable' })
    rmSync(join(root, 'events.jsonl'))
    execFileSync('mkfifo', [join(root, 'events.jsonl')])
    expect(fault(() => appendEvents(root, [event('comment')]))).toMatchObject({ code: 'unavailable' })
    rmSync(join(root, 'events.jsonl'))
    writeFileSync(join(root, 'events.jsonl'), '')
    truncateSync(join(root, 'events.jsonl'), maxEventBytes)
    expect(fault(() => appendEvents(root, [event('comment')])).message).toMatch(/larger than/)
    expect(fault(() => appendEvents(join(root, 'none'), [event('comment')]))).toMatchObject({ code: 'unavailable' })
    expect(readFileSync(join(root, 'other'), 'utf8')).toBe('')
  })
})

describe('parseEvents', () => {
  it('puts events in the order of their ids', () => {
    const [one, two, three] = [event('created'), event('comment'), event('closed')]
    expect(parseEvents(lines(three, one, two))).toEqual({ events: [one, two, three], problems: [] })
  })

  it('drops doubles, and tells those that differ', () => {
    const [one, two] = [event('created', { reason: 'x' }), event('comment')]
    const { events, problems } = parseEvents(
      lines(one, two, one, { reason: 'x', actor: 'ann', at, type: 'created', id: one.id }, { ...two, message: 'other' }),
    )
    expect(events).toEqual([one, two])
    expect(problems.map(({ code, line, key }) => [code, line, key])).toEqual([
      ['doubled_event', 3, one.id],
      ['doubled_event', 4, one.id],
      ['conflicting_event', 5, two.id],
    ])
  })

  it('names what is no event, by its line', () => {
    const one = event('created')
    const bad = ['{', '[]', 'null', '1', '{}', ...['id', 'type', 'at', 'actor'].map(key => JSON.stringify({ ...one, [key]: '' }))]
    const { events, problems } = parseEvents(`${bad.join('\n')}\n\n  \r\n${JSON.stringify(one)}\r\n`)
    expect(events).toEqual([one])
    expect(problems.map(({ code, line }) => [code, line])).toEqual(bad.map((_, number) => ['malformed_event', number + 1]))
  })

  it('reads on through the marks of an unresolved merge', () => {
    const [one, two, three] = [event('created'), event('comment'), event('closed')]
    const text = `${lines(one)}<<<<<<< HEAD\n${lines(two)}||||||| base\n=======\n${lines(three)}>>>>>>> topic\n`
    const { events, problems } = parseEvents(text)
    expect(events).toEqual([one, two, three])
    expect(problems.map(({ code, line }) => [code, line])).toEqual([2, 4, 5, 7].map(line => ['conflict_marker', line]))
  })

  it('never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        expect(parseEvents(text).events).toEqual([])
        tidyEvents(text)
      }),
    )
  })

  it('is quick with 100,000 events', () => {
    const text = lines(...Array.from({ length: 100_000 }, (_, number) => event('comment', { message: `number ${number}` })))
    const start = performance.now()
    expect(parseEvents(text).events).toHaveLength(100_000)
    // A third of a second on the slowest machine we know; this is to notice something quadratic.
    expect(performance.now() - start).toBeLessThan(5000)
  }, 20_000)
})

describe('readEvents', () => {
  it('is the union of all copies', () => {
    const [one, two, three] = [event('created'), event('comment'), event('closed')]
    const copies = ['here', 'main', 'none', 'empty'].map(name => join(root, name))
    for (const [number, events] of [
      [one, three],
      [one, two],
    ].entries()) {
      mkdirSync(copies[number]!)
      appendEvents(copies[number]!, events)
    }
    mkdirSync(copies[3]!)
    expect(readEvents(copies)).toEqual([one, two, three])
    expect(readEvents([copies[1]!])).toEqual([one, two])
    expect(readEvents([])).toEqual([])
  })

  it('says which file cannot be read', () => {
    writeFileSync(join(root, 'events.jsonl'), '')
    truncateSync(join(root, 'events.jsonl'), maxEventBytes + 1)
    for (const call of [() => readEvents([root]), () => appendEvents(root, [event('comment')])]) {
      const { code, message, hint } = fault(call)
      expect(code).toBe('unavailable')
      expect(message).toContain(join(root, 'events.jsonl'))
      expect(hint).toBe(`Look at it: ls -ld ${join(root, 'events.jsonl')}; mend it, and run the command again.`)
    }
  })
})

describe('tidyEvents', () => {
  it('sorts, drops doubles, and keeps what it does not understand', () => {
    const [one, two, three] = [event('created'), event('comment'), event('closed')]
    expect(tidyEvents(`${lines(three)}what?\n\n${lines(one, three)}${JSON.stringify(two)}`)).toBe(
      `${lines(one)}what?\n${lines(two, three)}`,
    )
  })

  it('keeps both of two events with one id, and lets unresolved merges alone', () => {
    const [one, two] = [event('created'), event('comment')]
    const other = { ...one, message: 'x' }
    expect(tidyEvents(lines(two, one, other))).toBe(lines(one, other, two))
    const text = `<<<<<<< HEAD\n${lines(two, one)}=======\n>>>>>>> x\n`
    expect(tidyEvents(text)).toBe(text)
  })

  it('loses no event, and leaves a tidy file as it is', () => {
    const some = fc.array(fc.oneof(fc.nat(9), fc.constantFrom('{', 'null', '')), { maxLength: 20 })
    const pool = Array.from({ length: 10 }, (_, number) => event('comment', { number }))
    fc.assert(
      fc.property(some, picks => {
        const text = picks.map(pick => `${typeof pick === 'number' ? JSON.stringify(pool[pick]) : pick}\n`).join('')
        const tidy = tidyEvents(text)
        expect(parseEvents(tidy).events).toEqual(parseEvents(text).events)
        expect(tidyEvents(tidy)).toBe(tidy)
        const odd = (source: string): string[] => source.split('\n').filter(line => line === '{' || line === 'null')
        expect(odd(tidy)).toEqual(odd(text))
      }),
    )
  })
})
