// @ts-check
/**
 * Usage: code-cache.mjs MAIN CACHE. Runs the everyday commands of a built `lh`, or of its hook, in a throw-away repository and keeps the code that V8 made of
 * them, so that the next process of the same Node need not compile it again. The cache saves time and decides nothing: V8 checks its own
 * version, its flags and the length of the source, and compiles as usual when one of them differs.
 */
import fs, { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Script } from 'node:vm'

const [, , main = '', cache = ''] = process.argv
const repository = mkdtempSync(path.join(tmpdir(), 'leasehold-code-'))

/** As much of a Git repository as finding one needs. */
function makeRepository() {
  for (const folder of ['objects', 'refs/heads']) mkdirSync(path.join(repository, '.git', folder), { recursive: true })
  writeFileSync(path.join(repository, '.git/HEAD'), 'ref: refs/heads/main\n')
  writeFileSync(path.join(repository, '.git/config'), '[core]\n\tbare = false\n')
}

const script = new Script(readFileSync(main, 'utf8'), { filename: main })
const exit = process.exit

/** @param {string[]} words @param {number} expected */
async function execute(words, expected) {
  process.argv = [process.execPath, main, ...words]
  const code = await new Promise(resolve => {
    // @ts-expect-error -- it never returns, as far as its caller knows
    process.exit = resolve
    script.runInThisContext()({}, createRequire(main), { exports: {} }, main, path.dirname(main))
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

async function everydayCommands() {
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
}

async function everydayHooks() {
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

try {
  process.env['HOME'] = repository
  makeRepository()
  if (path.basename(main) === 'hook-main.cjs') await everydayHooks()
  else await everydayCommands()
  writeFileSync(cache, script.createCachedData())
} finally {
  rmSync(repository, { recursive: true, force: true })
}
