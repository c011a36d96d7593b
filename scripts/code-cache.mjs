// @ts-check
/**
 * Usage: code-cache.mjs FOLDER MAIN. Runs the everyday commands of a built program in a throw-away repository and keeps the code that V8 made
 * of each chunk that they load, so that the next process of the same Node need not compile it again. A cache saves time and decides
 * nothing: V8 checks its own version, its flags and the length of the source, and compiles as usual when one of them differs.
 *
 * What a command does not run would be read for nothing, so those that agents run all day have a cache of `main` of their own (purposes.mjs).
 * V8 adds to code that it has compiled before in the same process: each cache is made in a process that has run nothing else.
 */
import childProcess, { spawnSync } from 'node:child_process'
import fs, { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Script } from 'node:vm'
import { inFileName, PURPOSES } from './purposes.mjs'

const [, , folder = '', main = '', purpose = '', repository = ''] = process.argv
const executable = path.join(folder, `${main}.cjs`)
/** Has this purpose a cache of its own? */
const own = PURPOSES.includes(purpose)

/** As much of a Git repository as finding one needs. */
function makeRepository() {
  for (const folder of ['objects', 'refs/heads']) mkdirSync(path.join(repository, '.git', folder), { recursive: true })
  writeFileSync(path.join(repository, '.git/HEAD'), 'ref: refs/heads/main\n')
  writeFileSync(path.join(repository, '.git/config'), '[core]\n\tbare = false\n')
}

/** What was compiled, by the name of the chunk; each once, however many processes are played. @type {Map<string, Script>} */
const scripts = new Map()

/** @param {string} name */
function compiled(name) {
  const filename = path.join(folder, `${name}.cjs`)
  const script = scripts.get(name) ?? new Script(readFileSync(filename, 'latin1'), { filename })
  scripts.set(name, script)
  return script
}

/** Loads chunks as a process of its own would, which has none yet. */
function loader() {
  const require = createRequire(executable)
  const loaded = new Map()
  /** @param {string} name */
  const load = name => {
    if (loaded.has(name)) return loaded.get(name).exports
    const chunk = { exports: {} }
    loaded.set(name, chunk)
    const filename = path.join(folder, `${name}.cjs`)
    compiled(name).runInThisContext()(chunk.exports, requireFrom, chunk, filename, folder)
    return chunk.exports
  }
  /** @param {string} id */
  const requireFrom = id => (id.startsWith('./') ? load(id.slice(2, -4)) : require(id))
  return load
}

/** Keeps the code of a chunk as far as it was run until now. What was kept before, for this program or another, stays. @param {string} name */
function keep(name) {
  const cache = path.join(folder, `${name}.${own ? `${inFileName(purpose)}.` : ''}${process.versions.v8}.code`)
  if (!existsSync(cache)) writeFileSync(cache, compiled(name).createCachedData())
}

const exit = process.exit

/** @param {string[]} words @param {number} expected */
async function execute(words, expected) {
  process.argv = [process.execPath, executable, ...words]
  const code = await new Promise(resolve => {
    // @ts-expect-error -- it never returns, as far as its caller knows
    process.exit = resolve
    loader()(main)
  })
  process.exit = exit
  if (code !== expected) throw new Error(`${words.join(' ')} ended with ${String(code)} while its code was collected`)
}

/** @param {string} line @param {number} expected */
const run = (line, expected = 0) => execute([...line.split(' '), '--repo', repository], expected)

/** One hook of a session, with its payload where standard input would be. @param {string} event @param {object} payload @param {number} expected */
async function call(event, payload, expected = 0) {
  const text = JSON.stringify({ cwd: repository, ...payload })
  writeFileSync(path.join(repository, 'payload'), text)
  const { fstatSync, readSync } = fs
  const fd = fs.openSync(path.join(repository, 'payload'), 'r')
  // @ts-expect-error -- only as the hook calls it: standard input looks like a file
  fs.fstatSync = (descriptor, ...rest) => fstatSync(descriptor === 0 ? fd : descriptor, ...rest)
  // @ts-expect-error -- and is one
  fs.readSync = (descriptor, ...rest) => readSync(descriptor === 0 ? fd : descriptor, ...rest)
  await execute([event, '--agent', 'claude'], expected)
  Object.assign(fs, { fstatSync, readSync })
  fs.closeSync(fd)
}

/** Tickets enough for V8 to see what is usual. */
function makeTickets() {
  for (let number = 10; number < 40; number++) {
    const slug = `part-${number}`
    const id = `20260101-0000${number}-${slug}`
    const at = `2026-01-01T00:00:${number}Z`
    const state = number % 3 === 0 ? 'done' : number % 3 === 1 ? 'ready' : 'queued'
    const own = path.join(repository, '.leasehold/tickets', id)
    mkdirSync(own, { recursive: true })
    writeFileSync(
      path.join(own, 'ticket.md'),
      [
        '---',
        `id: ${id}`,
        `slug: ${slug}`,
        `title: Part ${number} of the work`,
        'status: open',
        'kind: task',
        'priority: P2',
        'labels: [one, two]',
        `workflow_state: ${state}`,
        `created_at: ${at}`,
        `updated_at: ${at}`,
        'assignee: null',
        'legacy_ticket: null',
        'queued_by: null',
        'queued_at: null',
        `depends_on: [${number % 3 === 2 ? '20260101-000012-part-12' : ''}]`,
        'gates: []',
        '---',
        '',
        'What is to be done.',
        '',
      ].join('\n'),
    )
    const event = { id: `01KDVDGK${number}0000000000000000`, type: 'created', at: '2026-01-01T00:00:10.000Z', actor: 'agent:one' }
    writeFileSync(path.join(own, 'events.jsonl'), `${JSON.stringify(event)}\n`)
  }
  writeFileSync(path.join(repository, '.gitattributes'), '.leasehold/tickets/*/events.jsonl merge=union\n')
}

/** A store as it is after a while: what only the first command of all does is no part of anybody's day. */
async function prepare() {
  makeRepository()
  for (let number = 0; number < 60; number++) await run(`claim acquire there-${number} --ttl 1h --agent agent:one`)
}

/** Often enough for what only every few commands do, which is to write the index again. */
const often = Array.from({ length: 10 }, (_, number) => number)

/** @type {Record<string, () => Promise<void>>} */
const claims = {
  'claim acquire': async () => {
    for (const number of often) await run(`claim acquire new-${number} --ttl 10m --agent agent:one`)
    await run('claim acquire newer --json --agent agent:one')
    await run('claim acquire there-0 --agent agent:two', 3)
  },
  'claim renew': async () => {
    for (const number of often) await run(`claim renew there-${number} --agent agent:one`)
    await run('claim renew there-0 --json --agent agent:one')
  },
  'claim heartbeat': async () => {
    for (const number of often) await run(`claim heartbeat there-${number} --agent agent:one`)
    await run('claim heartbeat there-0 --json --agent agent:one')
  },
  'claim release': async () => {
    for (const number of often) await run(`claim release there-${number} --agent agent:one`)
    await run(`claim release there-${often.length} --json --agent agent:one`)
  },
  'claim check': async () => {
    await run('claim check there-50 --token 51')
    await run('claim check there-51 --token 52 --json')
  },
  'claim list': async () => {
    await run('claim list')
    await run('claim list --json')
  },
}

async function everydayCommands() {
  makeRepository()
  for (const name of ['a', 'b', 'c', 'd']) {
    await run(`claim acquire ${name} --ttl 10m --agent agent:one`)
    await run(`claim renew ${name} --agent agent:one`)
    await run(`claim heartbeat ${name} --json --agent agent:one`)
  }
  await run('claim acquire path:x/** env:y --json --agent agent:one')
  await run('claim acquire a --json --agent agent:two', 3)
  await run('claim check a --token 1')
  await run('claim list')
  await run('claim list --json')
  for (const name of ['a', 'b', 'c', 'd']) await run(`claim release ${name} --agent agent:one`)
  // What agents run all day loads nothing else: the code that only tickets need of it would be read for nothing.
  keep(main)
  makeTickets()
  await run('ticket list')
  await run('ticket list --json')
  await run('ticket list --ready')
  await run('ticket next')
  await run('ticket show 20260101-000010-')
  await run('ticket show 20260101-000010- --json')
  await run('ticket doctor')
  await run('claim acquire part-13 --agent agent:one')
  await run('claim release part-13 --agent agent:one')
  await run('ticket comment part-13 --message m --agent agent:one')
  await run('ticket start part-13 --agent agent:one')
  await run('ticket done part-13 --agent agent:one')
  await run('gate list')
  await run('worktree list')
  await run('work nothing-like-it --json --agent agent:one', 4)
  await run('status')
  await launch('--json')
}

/** `--repo` before the command: what follows `--` is the agent's. @param {string[]} more */
const launch = (...more) =>
  execute(
    [
      'launch',
      'part-16',
      '--role',
      'dev',
      '--ready',
      'fd',
      '--agent',
      'agent:one',
      '--repo',
      repository,
      ...more,
      '--',
      '/bin/sh',
      '-c',
      'echo >&3',
    ],
    0,
  )

async function prepareLaunches() {
  makeRepository()
  makeTickets()
  await launch()
}

/** Until the agent starts: it is what everybody waits for, and while it starts there is time to compile what comes after. */
async function launches() {
  const { spawn } = childProcess
  // @ts-expect-error -- one of its forms
  childProcess.spawn = (...args) => {
    keep(main)
    // @ts-expect-error -- the same one
    return spawn(...args)
  }
  await launch()
  childProcess.spawn = spawn
}

async function everydayHooks() {
  makeRepository()
  const { stderr } = process
  process.env['CLAUDE_PID'] = String(process.pid)
  const { writeSync } = fs
  // @ts-expect-error -- what the agent would be told has no place in a build
  fs.writeSync = (fd, ...rest) => (fd === stderr.fd ? 0 : writeSync(fd, ...rest))
  const edit = { tool_name: 'Edit', tool_input: { file_path: `${repository}/a`, old_string: 'a', new_string: 'b' }, tool_use_id: '1' }
  const bash = { tool_name: 'Bash', tool_input: { command: 'npm test' }, tool_use_id: '2' }
  const look = { tool_name: 'Bash', tool_input: { command: 'git status && ls -l | head -5' }, tool_use_id: '3' }
  for (let round = 0; round < 3; round++) {
    for (const tool of [edit, bash, look]) {
      await call('before-tool', { session_id: 'one', hook_event_name: 'PreToolUse', ...tool })
      await call('after-tool', { session_id: 'one', hook_event_name: 'PostToolUse', ...tool })
    }
    await call('refresh', { session_id: 'one', hook_event_name: 'PostToolBatch' })
    process.env['CLAUDE_PID'] = '1'
    await call('before-tool', { session_id: 'two', hook_event_name: 'PreToolUse', ...edit }, 2)
    process.env['CLAUDE_PID'] = String(process.pid)
  }
  await call('session-start', { session_id: 'one', hook_event_name: 'SessionStart', source: 'startup' })
  await call('stop', { session_id: 'one', hook_event_name: 'Stop', background_tasks: [], session_crons: [] })
  await call('session-end', { session_id: 'one', hook_event_name: 'SessionEnd', reason: 'other' })
}

/** What the processes of this program do all day, by purpose; `prepare` keeps nothing. @type {Record<string, Record<string, () => Promise<void>>>} */
const days = {
  main: { prepare, ...claims, everything: everydayCommands },
  'launch-main': { prepare: prepareLaunches, everything: launches },
  'hook-main': { everything: everydayHooks },
}

/** Each purpose in a process of its own, one after the other; `everything` in a repository of its own as well. */
function inProcesses() {
  const top = mkdtempSync(path.join(tmpdir(), 'leasehold-code-'))
  try {
    for (const purpose of Object.keys(days[main] ?? {})) {
      const repository = path.join(top, main === 'main' && purpose === 'everything' ? 'new' : 'busy')
      const done = spawnSync(process.execPath, [import.meta.filename, folder, main, purpose, repository], {
        env: { ...process.env, HOME: repository },
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      if (done.status !== 0) throw new Error(`the code of ${main} for ${purpose} could not be collected`)
    }
  } finally {
    rmSync(top, { recursive: true, force: true })
  }
}

if (purpose === '') inProcesses()
else {
  await days[main]?.[purpose]?.()
  if (own) keep(main)
  else if (purpose === 'everything') for (const name of scripts.keys()) keep(name)
}
