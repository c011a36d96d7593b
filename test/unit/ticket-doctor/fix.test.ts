import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Diagnosis } from '../../../src/service/ticket/doctor/finding.ts'
import { warning } from '../../../src/service/ticket/doctor/finding.ts'
import { mendTickets } from '../../../src/service/ticket/doctor/mend.ts'
import { parseEvents } from '../../../src/service/ticket/events.ts'
import { parseTicket } from '../../../src/service/ticket/front-matter.ts'
import { holder } from '../../support/cast.ts'
import type { Visit } from './ward.ts'
import { Ward, event, eventId, idOf } from './ward.ts'

const a = idOf('alpha', 1)
const b = idOf('beta', 2)
const events = `.leasehold/tickets/${a}/events.jsonl`

const codes = ({ document }: Visit): readonly string[] => (document.fixed ?? []).map(({ code }) => code)

/** A repository with one ticket and these events, mended; a second mending finds nothing to do. */
async function mended(text: string): Promise<{ readonly text: string; readonly visit: Visit; readonly ward: Ward }> {
  const ward = new Ward()
  ward.add(a)
  ward.write(events, text)
  const visit = await ward.visit(true)
  const after = ward.read(events)
  const again = await ward.visit(true)
  expect(again.document.fixed).toEqual([])
  expect(ward.read(events)).toBe(after)
  return { text: after, visit, ward }
}

const [first, second, third] = [event(1, 'created'), event(2, 'comment', { message: 'x' }), event(3, 'comment', { message: 'y' })]

describe('events', () => {
  it('are put in order', async () => {
    const { text, visit } = await mended(`${first}\n${third}\n${second}\n`)
    expect(text).toBe(`${first}\n${second}\n${third}\n`)
    expect(codes(visit)).toEqual(['events-out-of-order'])
    expect(visit.said).toEqual([])
  })

  it('that are there twice stay once', async () => {
    const { text, visit } = await mended(`${first}\n${second}\n${first}\n`)
    expect(text).toBe(`${first}\n${second}\n`)
    expect(codes(visit)).toEqual(['events-doubled'])
  })

  it('with one id and two contents are both kept', async () => {
    const other = event(2, 'comment', { message: 'z' })
    const { text, visit } = await mended(`${first}\n${second}\n${other}\n`)
    expect(text).toBe(`${first}\n${second}\n${other}\n`)
    expect(visit.exit).toBe(2)
  })

  it('of an unfinished merge are kept from both sides, each once and in order', async () => {
    const { text, visit } = await mended(
      `${first}\n<<<<<<< HEAD\n${third}\n||||||| base\n${first}\n=======\n${second}\n${third}\n>>>>>>> theirs\n`,
    )
    expect(text).toBe(`${first}\n${second}\n${third}\n`)
    expect(codes(visit)).toEqual(['events-conflict-markers'])
    expect(visit.said).toEqual([])
  })

  it('of an unfinished merge are kept also behind a byte order mark', async () => {
    const { text, visit } = await mended(`\ufeff<<<<<<< HEAD\n${first}\n=======\n${second}\n>>>>>>> theirs\n`)
    expect(text).toBe(`${first}\n${second}\n`)
    expect(codes(visit)).toEqual(['events-conflict-markers'])
    expect(visit.said).toEqual([])
  })

  it('end with a line break', async () => {
    const { text, visit } = await mended(`${first}\n${second}`)
    expect(text).toBe(`${first}\n${second}\n`)
    expect(codes(visit)).toEqual(['events-no-newline'])
  })

  it('that cannot be read stay where they are', async () => {
    const { text, visit } = await mended(`${first}\n{"id": torn\n${third}\n${second}\n`)
    expect(text).toBe(`${first}\n{"id": torn\n${second}\n${third}\n`)
    expect(visit.said).toEqual([`error events-malformed ${a}/events.jsonl:2`])
    expect(visit.exit).toBe(2)
  })

  it('that cannot be read, or name others, are in no wrong order', async () => {
    const torn = first.slice(0, 45)
    const naming = JSON.stringify({ refs: JSON.parse(first) as unknown, ...(JSON.parse(third) as object) })
    const { text, visit } = await mended(`${second}\n${torn}\n${naming}\n`)
    expect(text).toBe(`${second}\n${torn}\n${naming}\n`)
    expect(visit.said).toEqual([`error events-malformed ${a}/events.jsonl:2`])
  })

  it('that are no UTF-8 stay as they are', async () => {
    const ward = new Ward()
    ward.add(a)
    const bytes = Buffer.from(`${third}\n${first}\n\xff`, 'latin1')
    ward.write(events, bytes)
    await ward.visit(true)
    expect(fs.readFileSync(ward.at(events))).toEqual(bytes)
  })
})

describe('dependencies', () => {
  it('are written out and kept once, everything else as it was', async () => {
    const ward = new Ward()
    ward.add(a)
    ward.add(b, { dependsOn: ['alpha', a, a] })
    const file = ward.file(b)
    ward.change(file, 'priority: P2', 'priority: "P2" # urgent?\nestimate:   3d')
    const before = ward.read(file)
    const visit = await ward.visit(true)
    expect(codes(visit)).toEqual(['dependency-abbreviated', 'dependency-abbreviated'])
    expect(visit.said).toEqual([])
    expect(ward.read(file)).toBe(before.replace(`[alpha, ${a}, ${a}]`, `[${a}]`))
    const [event] = parseEvents(ward.read(ward.file(b, 'events.jsonl'))).events.slice(-1)
    expect(event).toMatchObject({ type: 'edited', actor: 'system', keys: ['depends_on'] })
  })

  it('that are there twice stay once', async () => {
    const ward = new Ward()
    ward.add(a)
    ward.add(b, { dependsOn: [a, a] })
    const visit = await ward.visit(true)
    expect(codes(visit)).toEqual(['dependency-doubled', 'dependency-doubled'])
    expect(parseTicket(ward.read(ward.file(b)), b).ticket.dependsOn).toEqual([a])
  })

  it('of a ticket that somebody else holds are left alone, and that is said', async () => {
    const ward = new Ward()
    ward.add(a)
    ward.add(b, { dependsOn: ['alpha'] })
    await ward.claim(b, holder('agent:eve', null, ward.me().worktreeId))
    ward.holder = ward.me()
    const before = ward.read(ward.file(b))
    const visit = await ward.visit(true)
    expect(visit.document.fixed).toEqual([])
    expect(visit.said).toEqual([`error dependency-abbreviated ${b}/ticket.md:16`, `warning not-fixed ${b}/ticket.md`])
    expect(visit.document.findings.at(-1)?.message).toContain('agent:eve')
    expect(ward.read(ward.file(b))).toBe(before)
  })

  it('of a ticket that whoever asks holds are mended', async () => {
    const ward = new Ward()
    ward.add(a)
    ward.add(b, { dependsOn: ['alpha'] })
    ward.holder = ward.me()
    await ward.claim(b, ward.holder)
    expect((await ward.visit(true)).said).toEqual([])
    const [event] = parseEvents(ward.read(ward.file(b, 'events.jsonl'))).events.slice(-1)
    expect(event?.actor).toBe('agent:ann')
  })
})

describe('the rest', () => {
  it('a missing state is written as it was read', async () => {
    const ward = new Ward()
    ward.addClosed(a)
    ward.change(ward.file(a), /workflow_state: .*\n/, '')
    const visit = await ward.visit(true)
    expect(codes(visit)).toEqual(['missing-field', 'missing-field'])
    expect(visit.said).toEqual([])
    expect(ward.read(ward.file(a))).toContain('\nworkflow_state: done\n')
  })

  it.each(['', '*.png binary\n', '*.png binary', '*.png binary\r\n'])('the line of .gitattributes is added to %j', async before => {
    const ward = new Ward()
    ward.add(a)
    ward.write('.gitattributes', before)
    const visit = await ward.visit(true)
    expect(codes(visit)).toEqual(['attributes-missing'])
    expect(visit.said).toEqual([])
    expect(ward.read('.gitattributes').startsWith(before)).toBe(true)
    expect(ward.git('check-attr', 'merge', events)).toContain('union')
  })

  it('a .gitattributes is made where there is none', async () => {
    const ward = new Ward()
    ward.add(a)
    fs.rmSync(ward.at('.gitattributes'))
    const visit = await ward.visit(true)
    expect(visit.said).toEqual([])
    expect(visit.document.fixed?.[0]?.diff).toContain('--- /dev/null\n+++ b/.gitattributes\n')
  })

  it('what an interrupted command left goes after an hour', async () => {
    const ward = new Ward()
    ward.add(a)
    ward.write('.leasehold/tickets/.tmp-x.1/artifacts/log.txt', 'x')
    expect(codes(await ward.visit(true))).toEqual([])
    ward.nowMs += 3_700_000
    const visit = await ward.visit(true)
    expect(visit.said).toEqual([])
    expect(visit.document.fixed).toEqual([
      {
        file: '.leasehold/tickets/.tmp-x.1',
        code: 'leftover',
        diff: 'removed .leasehold/tickets/.tmp-x.1/\nremoved .leasehold/tickets/.tmp-x.1/artifacts\nremoved .leasehold/tickets/.tmp-x.1/artifacts/log.txt\n',
      },
    ])
    expect(fs.readdirSync(ward.at('.leasehold/tickets'))).toEqual([a])
  })

  it('what somebody writes meanwhile stays as they wrote it, and the others are mended', async () => {
    const ward = new Ward()
    ward.write('one', 'x\n')
    ward.write('other', 'x\n')
    ward.write('third', 'x\n')
    const sick = (file: string, edit: (text: string) => string): Diagnosis =>
      warning('events-doubled', { file }, 'sick', 'mend it', { kind: 'edit', edit })
    const interrupted = sick('one', text => {
      ward.write('one', 'by somebody else\n')
      return `${text}mended\n`
    })
    const impossible = sick('other', () => {
      throw new Error('no way')
    })
    const surgeon = { root: ward.root, holder: null, claims: new Map<string, never>(), nowMs: 0 }
    const { fixed, left } = await mendTickets([interrupted, impossible, sick('third', text => `${text}mended\n`)], surgeon)
    expect(fixed.map(({ file }) => file)).toEqual(['third'])
    expect(left.map(({ code, file }) => `${code} ${file}`)).toEqual(['not-fixed one', 'not-fixed other'])
    expect(left[1]?.message).toBe('not mended: no way')
    expect([ward.read('one'), ward.read('other'), ward.read('third')]).toEqual(['by somebody else\n', 'x\n', 'x\nmended\n'])
  })
})

describe('the diff', () => {
  it('is one that Git can take back', async () => {
    const ward = new Ward()
    ward.add(a, {}, [first, third, second, first])
    ward.add(b, { dependsOn: ['alpha'] })
    ward.git('add', '.')
    ward.git('commit', '-qm', 'x')
    const visit = await ward.visit(true)
    expect(ward.git('status', '--porcelain')).not.toBe('')
    for (const { diff } of (visit.document.fixed ?? []).toReversed())
      execFileSync('git', ['apply', '-R', '-'], { cwd: ward.root, input: diff })
    expect(ward.git('status', '--porcelain')).toBe('')
  })

  it('is shown, and then what is left', async () => {
    const ward = new Ward()
    ward.add(a, {}, [first, third, second, `{"id":"${eventId(4)}"}`])
    const { lines, exit } = await ward.visit(true)
    expect(exit).toBe(2)
    expect(lines).toEqual([
      `fixed ${events} (events-out-of-order)`,
      `--- a/${events}`,
      `+++ b/${events}`,
      '@@ -1,4 +1,4 @@',
      ` ${first}`,
      `-${third}`,
      ` ${second}`,
      `+${third}`,
      ` {"id":"${eventId(4)}"}`,
      events,
      '  4: error: this event has no type (events-malformed)',
      `      mend or remove the line; readers pass over it: git log -p -- ${events}`,
      '1 ticket: 1 error, 0 warnings, 0 to know',
    ])
  })
})

describe('what people read', () => {
  it('is one line when all is well', async () => {
    const ward = new Ward()
    expect((await ward.visit()).lines).toEqual(['no tickets here; all is well'])
    ward.add(a)
    expect((await ward.visit()).lines).toEqual(['1 ticket, all is well'])
    expect((await ward.visit()).document).toEqual({ ok: true, findings: [], count: 0 })
  })

  it('is grouped by file, errors first', async () => {
    const ward = new Ward()
    ward.add(a, { dependsOn: [a] })
    ward.add(b, { status: 'closed', workflowState: 'ready', slug: 'alpha' })
    const { lines, document } = await ward.visit()
    expect(lines.filter(line => !line.startsWith('      '))).toEqual([
      `.leasehold/tickets/${a}/ticket.md`,
      '  16: error: it depends on itself (dependency-self)',
      `.leasehold/tickets/${b}/ticket.md`,
      '  5: error: it is closed, but resolution.md is missing (closed-without-resolution)',
      '  9: error: it is closed, but its workflow_state is ready (closed-not-done)',
      `  3: warning: the slug alpha is also that of ${a}: the word alone means neither (duplicate-slug)`,
      '2 tickets: 3 errors, 1 warning, 0 to know',
    ])
    expect(document.error).toMatchObject({ exit: 2, message: `3 errors: .leasehold/tickets/${a}/ticket.md:16: it depends on itself` })
  })
})
