// @ts-check
// Ten thousand tickets, and whole processes that list, choose, show and inspect them, against Node reading the same files bare.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { inTurns, plainEnvironment } from './measure.mjs'
import { plain } from './report.mjs'
import { executable, repository, temporaryDirectory } from './stores.mjs'

const count = 10_000
const issues = 373

/** The floor: reads files and does nothing with them. Arguments: what, directory, and for `one` the ticket. */
const bare = `
const fs = require('node:fs')
const [what, directory, one] = process.argv.slice(2)
const names = fs.readdirSync(directory)
let bytes = 0
if (what === 'flat') for (const name of names) bytes += fs.readFileSync(directory + '/' + name).length
else for (const name of one === undefined ? names : [one]) {
  bytes += fs.readFileSync(directory + '/' + name + '/ticket.md').length
  if (what === 'all') bytes += fs.readFileSync(directory + '/' + name + '/events.jsonl').length
}
process.stdout.write(bytes + '\\n')
`

const ulidDigits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** An event id of this moment; the same for the same numbers. @param {number} ms @param {number} number */
function eventId(ms, number) {
  const digits = /** @param {number} value @param {number} length */ (value, length) =>
    Array.from({ length }, (_, place) => ulidDigits[Math.floor(value / 32 ** (length - 1 - place)) % 32]).join('')
  return digits(ms, 10) + digits(number, 16)
}

/** The moment at which ticket `number` was made: one a minute. @param {number} number */
const madeAt = number => Date.UTC(2026, 0, 1) + number * 60_000

/** @param {number} ms */
const seconds = ms => `${new Date(ms).toISOString().slice(0, 19)}Z`

/** @param {number} number */
const slugOf = number => `part-${String(number).padStart(5, '0')}-of-the-work`

/** @param {number} number */
const idOf = number => `${seconds(madeAt(number)).replaceAll(/[-:Z]/g, '').replace('T', '-')}-${slugOf(number)}`

const states = /** @type {const} */ (['ready', 'done', 'intake', 'done', 'queued', 'done', 'ready', 'closed', 'inprogress', 'ready'])

/** Ten thousand tickets as the commands write them: four of ten over, every seventh waits for an earlier one. @param {string} directory */
function writeTickets(directory) {
  const tickets = path.join(directory, '.leasehold', 'tickets')
  fs.mkdirSync(tickets, { recursive: true })
  for (let number = 0; number < count; number++) {
    const state = /** @type {(typeof states)[number]} */ (states[number % states.length])
    const [id, made] = [idOf(number), madeAt(number)]
    const own = path.join(tickets, id)
    const queued = state === 'queued' ? ['agent:planner', seconds(made)] : ['null', 'null']
    fs.mkdirSync(own)
    fs.writeFileSync(
      path.join(own, 'ticket.md'),
      `---
id: ${id}
slug: ${slugOf(number)}
title: Part ${number} of the work
status: ${state === 'closed' ? 'closed' : 'open'}
kind: task
priority: P${number % 5}
labels: [area-${number % 12}, ${number % 2 === 0 ? 'ui' : 'core'}]
workflow_state: ${state === 'closed' ? 'done' : state}
created_at: ${seconds(made)}
updated_at: ${seconds(made)}
assignee: ${state === 'inprogress' ? `agent:worker-${number % 40}` : 'null'}
legacy_ticket: null
queued_by: ${queued[0]}
queued_at: ${queued[1]}
depends_on: [${number % 7 === 6 ? idOf(Math.floor(number / 2)) : ''}]
gates: []
---

${'What is to be done, why, and how one sees that it is done. '.repeat(10)}
`,
    )
    if (state === 'closed') fs.writeFileSync(path.join(own, 'resolution.md'), 'It works.\n')
    const line = /** @param {number} step @param {object} more */ (step, more) =>
      `${JSON.stringify({ id: eventId(made + step, number), at: new Date(made + step).toISOString(), actor: 'agent:planner', ...more })}\n`
    const events = [
      line(0, { type: 'created', title: `Part ${number} of the work` }),
      line(1, { type: 'comment', message: 'As we said: this one is for later.' }),
      ...(state === 'intake'
        ? []
        : [line(2, { type: 'state_changed', field: 'workflow_state', from: 'intake', to: state === 'closed' ? 'done' : state })]),
    ]
    fs.writeFileSync(path.join(own, 'events.jsonl'), events.join(''))
  }
  fs.writeFileSync(path.join(directory, '.gitattributes'), '.leasehold/tickets/*/events.jsonl merge=union\n')
}

/** Issues of the shape that jit writes. @param {string} directory */
function writeIssues(directory) {
  const uuid = /** @param {number} number */ number => `${(number * 7919).toString(16).padStart(8, '0')}-4d41-4b83-a1b2-0123456789ab`
  const folder = path.join(directory, 'issues')
  fs.mkdirSync(folder, { recursive: true })
  const keys = ['tests', 'fmt', 'review']
  const definition = /** @param {string} key */ key => ({
    version: 1,
    key,
    title: `Gate ${key}`,
    description: 'What has to be so.',
    stage: 'postcheck',
    mode: key === 'review' ? 'manual' : 'auto',
    checker: key === 'review' ? null : { type: 'exec', command: `make ${key}`, timeout_seconds: 120, working_dir: null, env: {} },
    auto: key !== 'review',
  })
  fs.writeFileSync(
    path.join(directory, 'gates.json'),
    JSON.stringify({ gates: Object.fromEntries(keys.map(key => [key, definition(key)])) }),
  )
  for (let number = 0; number < issues; number++) {
    const at = `${new Date(madeAt(number)).toISOString().slice(0, -1)}123456Z`
    const done = number % 3 !== 0
    const issue = {
      id: uuid(number),
      title: `Part ${number} of the work`,
      description: `${'What is to be done, and why. '.repeat(60)}\n\n## Success Criteria\n\n- [ ] it works\n`,
      state: done ? 'done' : 'ready',
      priority: ['low', 'normal', 'high', 'critical'][number % 4],
      assignee: done ? 'agent:worker' : null,
      dependencies: number === 0 ? [] : [uuid(Math.floor(number / 2))],
      gates_required: keys.slice(0, number % 4),
      gates_status: Object.fromEntries(
        done ? keys.slice(0, number % 4).map(key => [key, { status: 'passed', updated_by: 'auto:executor', updated_at: at }]) : [],
      ),
      context: {},
      documents: [],
      labels: ['type:task', `epic:part-${number % 9}`],
      created_at: at,
      updated_at: at,
    }
    fs.writeFileSync(path.join(folder, `${issue.id}.json`), JSON.stringify(issue, null, 2))
  }
}

/** @param {string} directory @param {readonly string[]} args */
const git = (directory, ...args) =>
  execFileSync('git', ['-c', 'user.name=bench', '-c', 'user.email=bench@example.invalid', ...args], {
    cwd: directory,
    env: plainEnvironment,
  })

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function tickets({ quick }) {
  const reader = path.join(temporaryDirectory('bare'), 'bare.cjs')
  fs.writeFileSync(reader, bare)
  const directory = repository('tickets')
  writeTickets(directory)
  git(directory, 'add', '--all')
  git(directory, 'commit', '--quiet', '--message', 'tickets')
  // A store that is in use, and what is noted beside it of the base branch.
  execFileSync(process.execPath, [executable, 'ticket', 'next', '--claim'], { cwd: directory, env: plainEnvironment, stdio: 'ignore' })
  const here = path.join(directory, '.leasehold', 'tickets')
  const middle = count / 2
  // The beginning of one id, which is no other's.
  const prefix = idOf(middle).slice(0, -4)
  const bareOf = /** @param {string} name @param {readonly string[]} args */ (name, ...args) => ({ name, args: () => [reader, ...args] })
  const lh = /** @param {string} name @param {readonly string[]} args */ (name, ...args) => ({
    name,
    cwd: directory,
    args: () => [executable, ...args],
  })
  const found = inTurns(
    [
      [bareOf('bare heads', 'heads', here)],
      [bareOf('bare one', 'heads', here, idOf(middle))],
      [bareOf('bare all', 'all', here)],
      [lh('list', 'ticket', 'list')],
      [lh('list --json', 'ticket', 'list', '--json', '--quiet')],
      [lh('list --ready', 'ticket', 'list', '--ready')],
      [lh('next', 'ticket', 'next')],
      [lh('show', 'ticket', 'show', prefix)],
      [lh('doctor', 'ticket', 'doctor')],
    ],
    quick ? { rounds: 4, usageRounds: 3 } : { rounds: 12, usageRounds: 8 },
  )
  const source = temporaryDirectory('jit')
  writeIssues(source)
  const targets = temporaryDirectory('import')
  const target = /** @param {number} round */ round => {
    const fresh = path.join(targets, String(round))
    execFileSync('git', ['init', '--quiet', fresh], { env: plainEnvironment })
    return fresh
  }
  const importing = inTurns(
    [
      [bareOf('bare issues', 'flat', path.join(source, 'issues'))],
      [{ name: 'import', args: round => [executable, 'ticket', 'import', '--from', 'jit', source, '--repo', target(round)] }],
    ],
    quick ? { rounds: 2, usageRounds: 2 } : { rounds: 5, usageRounds: 3 },
  )
  const of = /** @param {string} name */ name => /** @type {import('./measure.mjs').Usage} */ (found.get(name) ?? importing.get(name))
  const row = /** @param {string} what @param {string} name @param {string} floor @param {number} [atMost] */ (
    what,
    name,
    floor,
    atMost,
  ) => ({
    what,
    value: of(name).wall / of(floor).wall,
    unit: 'x',
    ...(atMost === undefined ? {} : { target: { atMost } }),
    note: `CPU ${plain(of(name).cpu / of(floor).cpu)} x; ${plain(of(name).wall)} ms against ${plain(of(floor).wall)} (${floor}); CPU ${plain(of(name).cpu)} ms, ${plain(of(name).peak)} MiB`,
  })
  return [
    row('lh ticket list', 'list', 'bare heads', 2),
    row('lh ticket list --json', 'list --json', 'bare heads'),
    row('lh ticket list --ready', 'list --ready', 'bare heads', 2),
    row('lh ticket next', 'next', 'bare heads', 2),
    row('lh ticket show PREFIX', 'show', 'bare one', 2),
    row('lh ticket doctor', 'doctor', 'bare all', 3),
    row(`lh ticket import, ${issues} issues of jit`, 'import', 'bare issues'),
  ]
}
