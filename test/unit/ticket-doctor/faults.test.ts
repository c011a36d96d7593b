import fs from 'node:fs'
import { describe, expect, it } from 'vitest'
import { holder } from '../../support/cast.ts'
import { Ward, event, eventId, idOf } from './ward.ts'

const a = idOf('alpha', 1)
const b = idOf('beta', 2)
const c = idOf('gamma', 3)

/** A name, what is done to a repository with the one healthy ticket `alpha`, and everything that is then said. */
type Case = readonly [name: string, make: (ward: Ward) => void | Promise<void>, ...said: string[]]

const file = (id: string, name = 'ticket.md'): string => `.leasehold/tickets/${id}/${name}`
const change =
  (from: string | RegExp, to: string, name = 'ticket.md') =>
  (ward: Ward): void =>
    ward.change(file(a, name), from, to)
const append =
  (...lines: readonly string[]) =>
  (ward: Ward): void =>
    fs.appendFileSync(ward.at(file(a, 'events.jsonl')), lines.map(line => `${line}\n`).join(''))
const definition = (ward: Ward, key: string, text = 'command: npm test\n'): void => ward.write(`.leasehold/gates/${key}.yaml`, text)

function those(cases: readonly Case[]): void {
  for (const [name, make, ...said] of cases) it(name, () => check(make, said))
}

async function check(make: Case[1], said: readonly string[]): Promise<void> {
  const ward = new Ward()
  ward.add(a)
  await make(ward)
  const visit = await ward.visit()
  expect(visit.said).toEqual(said)
  expect(visit.exit).toBe(said.some(text => text.startsWith('error')) ? 2 : 0)
  expect(visit.document.ok).toBe(visit.exit === 0)
  expect(visit.document.count).toBe(said.length)
  for (const { message, fix } of visit.document.findings) {
    expect(message).toMatch(/\S/)
    expect(fix).toMatch(/\S/)
  }
}

describe('the directory', () => {
  those([
    ['a healthy one', () => undefined],
    [
      'a name that is no id',
      ward => {
        ward.write(file('Not An Id'), '---\n---\n')
      },
      'error bad-directory Not An Id',
    ],
    ['a file among the tickets', ward => ward.write('.leasehold/tickets/notes.txt', 'x'), 'warning stray-file notes.txt'],
    [
      'files that belong there',
      ward => ['.gitkeep', '.gitignore', 'README.md'].forEach(name => ward.write(`.leasehold/tickets/${name}`, '')),
    ],
    ['a ticket that is just being made', ward => ward.write(file('.tmp-x.1.2'), ''), 'info leftover .tmp-x.1.2'],
    ['a directory that is a symbolic link', ward => fs.symlinkSync(a, ward.at(`.leasehold/tickets/${b}`)), `error symlink ${b}`],
    [
      'a ticket.md that is a symbolic link',
      ward => {
        ward.add(b)
        fs.rmSync(ward.at(file(b)))
        fs.symlinkSync(`../${a}/ticket.md`, ward.at(file(b)))
      },
      `error symlink ${b}/ticket.md`,
    ],
    [
      'events that are a symbolic link',
      ward => {
        fs.renameSync(ward.at(file(a, 'events.jsonl')), ward.at('elsewhere'))
        fs.symlinkSync(ward.at('elsewhere'), ward.at(file(a, 'events.jsonl')))
      },
      `error symlink ${a}/events.jsonl`,
    ],
    ['a ticket.md that is a directory', ward => fs.mkdirSync(ward.at(file(b)), { recursive: true }), `error unreadable ${b}/ticket.md`],
    [
      'bytes that are no UTF-8',
      ward => ward.write(file(a), Buffer.from('---\nid: x\ntitle: \xff\n---\n', 'latin1')),
      `error not-utf8 ${a}/ticket.md:3`,
    ],
    ['no ticket.md', ward => ward.write(file(b, 'artifacts/log.txt'), ''), `error no-ticket-file ${b}`],
    [
      'all tickets behind a symbolic link',
      ward => {
        fs.renameSync(ward.at('.leasehold/tickets'), ward.at('elsewhere'))
        fs.symlinkSync(ward.at('elsewhere'), ward.at('.leasehold/tickets'))
      },
      'error symlink .leasehold/tickets',
    ],
  ])
})

describe('the front matter', () => {
  those([
    ['none', ward => ward.write(file(a), 'Just text.\n'), `error no-front-matter ${a}/ticket.md:1`],
    ['an empty file', ward => ward.write(file(a), ''), `error no-front-matter ${a}/ticket.md:1`],
    ['no end', change('\n---\n\n', '\n\n'), `error no-front-matter ${a}/ticket.md:1`],
    ['no YAML', change('kind: task', 'kind: "task'), `error bad-yaml ${a}/ticket.md:6`],
    ['a key a second time', change('labels: []', 'labels: []\nkind: bug'), `error duplicate-key ${a}/ticket.md:9`],
    ['no id', change(/id: .*\n/, ''), `error missing-id ${a}/ticket.md:1`],
    ['an empty id', change(/id: .*\n/, 'id:\n'), `error missing-id ${a}/ticket.md:2`],
    ['no slug', change(/slug: .*\n/, ''), `error missing-field ${a}/ticket.md:1`],
    ['no title', change(/title: .*\n/, ''), `error missing-field ${a}/ticket.md:1`],
    ['no status', change(/status: .*\n/, ''), `error missing-field ${a}/ticket.md:1`],
    ['no kind', change(/kind: .*\n/, ''), `error missing-field ${a}/ticket.md:1`],
    ['no priority', change(/priority: .*\n/, ''), `error missing-field ${a}/ticket.md:1`],
    ['no workflow_state', change(/workflow_state: .*\n/, ''), `error missing-field ${a}/ticket.md:1`],
    ['no created_at', change(/created_at: .*\n/, ''), `error missing-field ${a}/ticket.md:1`],
    ['a title without text', change(/title: .*/, "title: ''"), `error missing-field ${a}/ticket.md:4`],
    ['another id', change(`id: ${a}`, 'id: 20260101-000009-other'), `error id-mismatch ${a}/ticket.md:2`],
    ['an unknown state', change('workflow_state: ready', 'workflow_state: readdy'), `error unknown-state ${a}/ticket.md:9`],
    ['an unknown status', change('status: open', 'status: opened'), `error unknown-status ${a}/ticket.md:5`],
    ['an unknown priority', change('priority: P2', 'priority: P9'), `error unknown-priority ${a}/ticket.md:7`],
    ['a word in the wrong case', change('status: open', 'status: Open'), `error unknown-status ${a}/ticket.md:5`],
    ['labels that are no list', change('labels: []', 'labels: ui'), `error wrong-type ${a}/ticket.md:8`],
    [
      'a title that is a list',
      change(/title: .*/, 'title: [a]'),
      `error missing-field ${a}/ticket.md:4`,
      `error wrong-type ${a}/ticket.md:4`,
    ],
    ['what is no time', change(/created_at: .*/, 'created_at: yesterday'), `error bad-time ${a}/ticket.md:10`],
    ['a day that does not exist', change(/created_at: .*/, 'created_at: 2026-02-31T00:00:00Z'), `error bad-time ${a}/ticket.md:10`],
    ['an hour that does not exist', change(/queued_at: .*/, 'queued_at: 2026-02-01T25:00:00Z'), `error bad-time ${a}/ticket.md:15`],
    ['keys that people add', change('gates: []', 'gates: []\nestimate: 3d # about\nteam: {a: b}')],
    [
      'a key and a comment, in Windows lines with a mark',
      ward => ward.write(file(a), `\ufeff${ward.read(file(a)).replaceAll('\n', '\r\n')}`),
    ],
    [
      'a conflict in the front matter',
      change('kind: task', '<<<<<<< HEAD\nkind: task\n=======\nkind: bug\n>>>>>>> theirs'),
      `error conflict-markers ${a}/ticket.md:6`,
    ],
    [
      'a conflict in the body',
      change('What to do.', 'What\n<<<<<<< HEAD\nto\n=======\nnot to\n>>>>>>> theirs\ndo.'),
      `warning conflict-markers ${a}/ticket.md:21`,
    ],
  ])
})

describe('ids and slugs', () => {
  those([
    [
      'one id in two directories',
      ward => {
        ward.add(b)
        ward.change(file(b), `id: ${b}`, `id: ${a}`)
      },
      `error duplicate-id ${b}/ticket.md:2`,
      `error id-mismatch ${b}/ticket.md:2`,
    ],
    [
      'an id of nobody in two directories',
      ward => {
        for (const id of [b, c]) ward.change(file(ward.add(id)), `id: ${id}`, 'id: 20260101-000009-other')
      },
      `error duplicate-id ${b}/ticket.md:2`,
      `error id-mismatch ${b}/ticket.md:2`,
      `error duplicate-id ${c}/ticket.md:2`,
      `error id-mismatch ${c}/ticket.md:2`,
    ],
    ['one slug twice', ward => void ward.add(b, { slug: 'alpha' }), `warning duplicate-slug ${b}/ticket.md:3`],
    [
      'numbers, and titles in other letters',
      ward => {
        for (const [at, slug] of ['001', '001', 'ticket', 'ticket'].entries()) ward.add(`20260608-06123${at}-${slug}`, { slug })
      },
    ],
  ])
})

describe('dependencies', () => {
  those([
    ['that are there', ward => void ward.add(b, { dependsOn: [a] })],
    ['on nothing', ward => void ward.add(b, { dependsOn: [a, 'nosuch'] }), `error dependency-unknown ${b}/ticket.md:16`],
    [
      'on nothing, in lines',
      ward => {
        ward.add(b, { dependsOn: [a] })
        ward.change(file(b), `[${a}]`, `\n  - ${a}\n  # why\n  - ${a}-nosuch\n  - 'nosuch'`)
      },
      `error dependency-unknown ${b}/ticket.md:19`,
      `error dependency-unknown ${b}/ticket.md:20`,
    ],
    ['on itself', ward => void ward.add(b, { dependsOn: [b] }), `error dependency-self ${b}/ticket.md:16`],
    ['twice on one', ward => void ward.add(b, { dependsOn: [a, a] }), `warning dependency-doubled ${b}/ticket.md:16`],
    ['by a slug', ward => void ward.add(b, { dependsOn: ['alpha'] }), `error dependency-abbreviated ${b}/ticket.md:16`],
    [
      'by the beginning of an id',
      ward => void ward.add(b, { dependsOn: [a.slice(0, 15)] }),
      `error dependency-abbreviated ${b}/ticket.md:16`,
    ],
    ['by a beginning that is too short', ward => void ward.add(b, { dependsOn: ['alp'] }), `error dependency-unknown ${b}/ticket.md:16`],
    [
      'by what it was called before',
      ward => {
        ward.add(b, { legacyTicket: 'BD-17' })
        ward.add(c, { dependsOn: ['bd-17'] })
      },
      `error dependency-abbreviated ${c}/ticket.md:16`,
    ],
    [
      'by what may be several',
      ward => {
        ward.add(b)
        ward.add(c, { dependsOn: ['2026'] })
      },
      `error dependency-unknown ${c}/ticket.md:16`,
    ],
    [
      'in a circle',
      ward => {
        ward.add(b, { dependsOn: [c] })
        ward.add(c, { dependsOn: [a, b] })
      },
      `error dependency-cycle ${b}/ticket.md:16`,
    ],
    [
      'of a finished ticket on one that is not',
      ward => void ward.add(b, { dependsOn: [a], workflowState: 'done' }),
      `warning done-dependency-open ${b}/ticket.md:16`,
    ],
  ])

  it('prints the circle', async () => {
    const ward = new Ward()
    ward.add(a, { dependsOn: [b] })
    ward.add(b, { dependsOn: [c] })
    ward.add(c, { dependsOn: [a] })
    const { document } = await ward.visit()
    expect(document.findings.map(({ message }) => message)).toEqual([`tickets wait for each other: ${a} → ${b} → ${c} → ${a}`])
  })

  it('sees those that only the base branch or the main worktree has', async () => {
    const ward = new Ward()
    ward.add(a, { dependsOn: [c] })
    ward.add(c)
    ward.git('add', '.')
    ward.git('commit', '-qm', 'x')
    const linked = ward.at('../linked')
    ward.git('worktree', 'add', '-q', linked)
    ward.git('rm', '-rqf', `.leasehold/tickets/${c}`)
    ward.add(b, { dependsOn: [a] })
    expect((await ward.visit()).said).toEqual([])
    fs.rmSync(`${linked}/.leasehold/tickets/${c}`, { recursive: true })
    fs.writeFileSync(`${linked}/${file(a)}`, ward.read(file(a)).replace(`[${c}]`, `[${b}]`))
    expect((await ward.visit(false, linked)).said).toEqual([`error dependency-cycle ${a}/ticket.md:16`])
    fs.rmSync(linked, { recursive: true })
  })
})

describe('the end of the work', () => {
  those([
    ['closed as it should be', ward => void ward.addClosed(b)],
    ['closed, and not done', ward => void ward.addClosed(b, { workflowState: 'ready' }), `error closed-not-done ${b}/ticket.md:9`],
    [
      'closed without a resolution',
      ward => void ward.add(b, { status: 'closed', workflowState: 'done' }),
      `error closed-without-resolution ${b}/ticket.md:5`,
    ],
    [
      'closed with an empty one',
      ward => {
        ward.addClosed(b)
        ward.write(file(b, 'resolution.md'), '')
      },
      `error closed-without-resolution ${b}/ticket.md:5`,
    ],
    [
      'closed because nothing will be done',
      ward => {
        definition(ward, 'tests')
        ward.addClosed(b, { dependsOn: [a], gates: ['tests'] })
      },
    ],
    ['done, and not closed', ward => void ward.add(b, { workflowState: 'done' })],
  ])
})

describe('gates', () => {
  those([
    [
      'defined and used',
      ward => {
        definition(ward, 'tests')
        ward.add(b, { gates: ['tests'] })
      },
    ],
    ['used and not defined', ward => void ward.add(b, { gates: ['tests'] }), `error gate-unknown ${b}/ticket.md:17`],
    [
      'a definition that is broken',
      ward => definition(ward, 'tests', 'command: npm test\nstage: before\n'),
      'error gate-definition-broken .leasehold/gates/tests.yaml:2',
    ],
    [
      'a definition that is no YAML',
      ward => definition(ward, 'tests', 'command: @npm\n'),
      'error gate-definition-broken .leasehold/gates/tests.yaml:1',
    ],
    ['a file that defines none', ward => ward.write('.leasehold/gates/Tests.yml', ''), 'warning stray-file .leasehold/gates/Tests.yml'],
    ['a result of another', append(event(2, 'gate', { gate: 'tests', result: 'passed' })), `info gate-event-stray ${a}/events.jsonl:2`],
    [
      'never passed, and done',
      ward => {
        definition(ward, 'tests')
        ward.add(b, { gates: ['tests'], workflowState: 'done' }, [
          event(1, 'created'),
          event(2, 'gate', { gate: 'tests', result: 'passed' }),
          event(3, 'gate', { gate: 'tests', result: 'failed' }),
        ])
        ward.add(c, { gates: ['tests'], workflowState: 'done' }, [
          event(1, 'created'),
          event(2, 'gate', { gate: 'tests', result: 'passed' }),
        ])
      },
      `warning done-gate-open ${b}/ticket.md:17`,
    ],
  ])
})

describe('events', () => {
  those([
    ['none', ward => fs.rmSync(ward.at(file(a, 'events.jsonl'))), `warning events-missing ${a}/ticket.md`],
    ['an empty file', ward => fs.truncateSync(ward.at(file(a, 'events.jsonl'))), `warning events-missing ${a}/events.jsonl`],
    ['no JSON', append('{"id":'), `error events-malformed ${a}/events.jsonl:2`],
    ['no object', append('[]'), `error events-malformed ${a}/events.jsonl:2`],
    ['no ULID', append(event(2, 'comment').replace(eventId(2), 'x')), `error events-malformed ${a}/events.jsonl:2`],
    ['no actor', append('', event(2, 'comment', { actor: '' })), `error events-malformed ${a}/events.jsonl:3`],
    ['no time', append(event(2, 'comment', { at: 'noon' })), `error events-malformed ${a}/events.jsonl:2`],
    ['the same one twice', append(event(1, 'created')), `warning events-doubled ${a}/events.jsonl:2`],
    ['one id twice', append(event(1, 'comment')), `error events-doubled ${a}/events.jsonl:2`],
    [
      'a merge that was left unfinished',
      append('<<<<<<< HEAD', event(2, 'comment'), '=======', event(3, 'comment'), '>>>>>>> theirs'),
      `error events-conflict-markers ${a}/events.jsonl:2`,
      `error events-conflict-markers ${a}/events.jsonl:4`,
      `error events-conflict-markers ${a}/events.jsonl:6`,
    ],
    ['a line that does not end', change(/\n$/, '', 'events.jsonl'), `warning events-no-newline ${a}/events.jsonl:1`],
    ['an order that a merge left', append(event(3, 'comment'), event(2, 'comment')), `info events-out-of-order ${a}/events.jsonl:3`],
    [
      'times that a merge left',
      append(event(2, 'comment', { at: '2026-01-03T00:00:00.000Z' }), event(3, 'comment', { at: '2026-01-02T00:00:00.000Z' })),
    ],
    [
      'bytes that are no UTF-8',
      ward => fs.appendFileSync(ward.at(file(a, 'events.jsonl')), Buffer.from([0xff, 10])),
      `error not-utf8 ${a}/events.jsonl:2`,
    ],
    [
      'a state that no event says',
      append(event(2, 'state_changed', { from: 'ready', to: 'queued' })),
      `warning edited-without-event ${a}/ticket.md:9`,
    ],
    [
      'a status that no event says',
      append(event(2, 'state_changed', { field: 'status', from: 'open', to: 'pending' })),
      `warning edited-without-event ${a}/ticket.md:5`,
    ],
    ['closed by an event only', append(event(2, 'closed')), `warning edited-without-event ${a}/ticket.md:9`],
    [
      'a change after the last event',
      change(/updated_at: .*/, 'updated_at: 2026-01-01T00:00:09Z'),
      `warning edited-without-event ${a}/ticket.md:11`,
    ],
    ['reopened, and further', append(event(2, 'closed'), event(3, 'reopened', { to: 'ready' }))],
    ['imported in another state', append(event(2, 'state_changed', { to: 'queued' }), event(3, 'imported'))],
  ])
})

describe('claims', () => {
  const gone = holder('agent:eve', null, 'wt:deadbeef')
  those([
    ['of an open ticket', async ward => ward.claim(a)],
    ['of a ticket that is not there', async ward => ward.claim('nosuch'), 'error claim-on-missing-ticket log'],
    ['of a closed ticket', async ward => ward.claim(ward.addClosed(b)), `error claim-on-closed-ticket ${b}/ticket.md:5`],
    [
      'of a done ticket, by somebody else',
      async ward => ward.claim(ward.add(b, { workflowState: 'done' }), gone),
      `error claim-on-closed-ticket ${b}/ticket.md:9`,
      'warning claim-worktree-gone log',
    ],
    [
      'of a ticket whose step to done stopped half way',
      async ward => ward.claim(ward.add(b, { workflowState: 'done' })),
      `warning done-half ${b}/ticket.md:9`,
    ],
    ['of a ticket whose start stopped half way', async ward => ward.claim(a, ward.me(), 'start'), `warning started-half ${a}/ticket.md:9`],
    ['of a started ticket', async ward => ward.claim(ward.add(b, { workflowState: 'inprogress' }), ward.me(), 'start')],
    ['from a worktree that is gone', async ward => ward.claim(a, gone), 'warning claim-worktree-gone log'],
    [
      'of a started ticket: nobody',
      ward => void ward.add(b, { workflowState: 'inprogress', assignee: 'agent:eve' }),
      `info assignee-without-claim ${b}/ticket.md:9`,
    ],
    [
      'that have expired',
      async ward => {
        await ward.claim('nosuch')
        ward.clock.advance(601_000)
      },
    ],
    [
      'for a moment',
      async ward => {
        ward.addClosed(b)
        await ward.coordinator.acquire({ holder: ward.me() }, { resources: [`ticket:${b}`], ttlSecs: 60 })
      },
    ],
    ['of what is no ticket', async ward => void (await ward.coordinator.acquire({ holder: ward.me() }, { resources: ['env:staging'] }))],
  ])

  it('of bare words are fine where nobody has tickets', async () => {
    const ward = new Ward()
    await ward.claim('fix-login')
    expect((await ward.visit()).said).toEqual([])
  })

  it('are not spoken of when the log cannot be read', async () => {
    const ward = new Ward()
    ward.add(a, { workflowState: 'inprogress' })
    ward.readable = false
    expect((await ward.visit()).said).toEqual([])
  })

  it('are judged by the copy of the holder’s worktree', async () => {
    const ward = new Ward()
    ward.addClosed(a)
    ward.git('add', '.')
    ward.git('commit', '-qm', 'x')
    const linked = fs.realpathSync(fs.mkdtempSync(ward.at('../linked-')))
    ward.git('worktree', 'add', '-q', linked)
    const { ensureWorktree } = await import('../../../src/service/identity/worktree.ts')
    const { findRepository } = await import('../../../src/host/git.ts')
    const there = holder('agent:bob', null, ensureWorktree(findRepository(linked, {})).worktreeId)
    await ward.claim(a, there)
    expect((await ward.visit()).said).toEqual([`error claim-on-closed-ticket ${a}/ticket.md:5`])
    fs.writeFileSync(`${linked}/${file(a)}`, ward.read(file(a)).replace('closed', 'open').replace(': done', ': ready'))
    expect((await ward.visit()).said).toEqual([])
    // A ticket that only the holder's worktree has.
    fs.cpSync(`${linked}/.leasehold/tickets/${a}`, `${linked}/.leasehold/tickets/${b}`, { recursive: true })
    fs.writeFileSync(`${linked}/${file(b)}`, ward.read(file(a)).replaceAll(a, b).replace('closed', 'open').replace(': done', ': ready'))
    await ward.claim(b, there)
    expect((await ward.visit()).said).toEqual([])
    fs.rmSync(linked, { recursive: true })
    expect((await ward.visit()).said).toEqual([
      'error claim-on-missing-ticket log',
      `error claim-on-closed-ticket ${a}/ticket.md:5`,
      'warning claim-worktree-gone log',
      'warning claim-worktree-gone log',
    ])
  })
})

describe('a gate that is defined twice in one file', () => {
  it('is mended by what is said', async () => {
    const ward = new Ward()
    ward.add(a)
    definition(ward, 'tests', 'command: x\ncommand: y\n')
    const [found] = (await ward.visit()).document.findings
    expect(found).toMatchObject({
      code: 'gate-definition-broken',
      fix: 'mend the file; or define the gate anew: rm -r .leasehold/gates/tests.yaml; lh gate define tests --command C, or --manual',
    })
  })
})

describe('around the tickets', () => {
  those([
    ['no .gitattributes', ward => fs.rmSync(ward.at('.gitattributes')), 'warning attributes-missing .gitattributes'],
    [
      'one that says nothing of events',
      ward => ward.write('.gitattributes', '# events.jsonl merge=union\n*.png binary\n'),
      'warning attributes-missing .gitattributes:1',
    ],
    [
      'events that a rule for other files has Git ignore',
      ward => ward.write('.gitignore', '*.jsonl\n'),
      'warning events-ignored .gitignore:1',
    ],
    ['events that are let through again', ward => ward.write('.gitignore', '*.jsonl\n!/.leasehold/tickets/*/events.jsonl\n')],
    ['tickets that Git ignores as a whole', ward => ward.write('.gitignore', '.leasehold/\n')],
    ['one that says it in other words', ward => ward.write('.gitattributes', '*.png binary\n**/events.jsonl text merge=union\n')],
  ])

  it('tickets of other branches that cannot be read are said once', async () => {
    const ward = new Ward()
    ward.add(a, { dependsOn: ['nosuch', 'nosuch-either'] })
    ward.git('add', '.')
    ward.git('commit', '-qm', 'x')
    const linked = fs.realpathSync(fs.mkdtempSync(ward.at('../linked-')))
    ward.git('worktree', 'add', '-q', linked)
    fs.rmSync(ward.at('.leasehold'), { recursive: true })
    fs.symlinkSync('/nowhere', ward.at('.leasehold'))
    const { said } = await ward.visit(false, linked)
    expect(said.filter(text => text.includes('base-unreadable'))).toEqual(['warning base-unreadable log'])
  })
})
