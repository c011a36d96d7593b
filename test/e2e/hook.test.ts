import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { folder, git, isRunning, parse, repository, sleep, until } from '../support/cli.ts'
import { Home, hookProgram, passed, runHook, workspace } from '../support/hook.ts'
import { requires } from '../support/skip.ts'

// `lh hook` as clients call it: a process for each tool call, told by its exit code and by nothing on standard output.

const blocked = (other: string) => ({
  code: 2,
  stdout: '',
  stderr: expect.stringContaining(`parallel session lock held by ${other} (pid `),
})

/** Two sessions, of clients that live, in one workspace. */
function two(ws = workspace()) {
  const home = new Home()
  const client = String(process.pid)
  return { home, ws, one: home.session('one-1111', ws, { CLAUDE_PID: client }), other: home.session('other-2222', ws, { CLAUDE_PID: '1' }) }
}

describe('one session at a time', () => {
  it('blocks the second session’s writes and commands until the first stops', async () => {
    const { home, ws, one, other } = two()
    expect(await one.write(`${ws}/a.txt`)).toEqual(passed)
    for (const result of [
      await other.write(`${ws}/b.txt`),
      await other.before('Edit', { file_path: `${ws}/a.txt`, old_string: 'a', new_string: 'b' }),
      await other.before('NotebookEdit', { notebook_path: `${ws}/a.ipynb`, new_source: '' }),
      await other.bash('npm test'),
      await other.bash('git checkout main'),
      await other.bash('git commit -am x'),
      await other.bash('git push'),
      await other.before('Monitor', { command: 'make watch', timeout_ms: 1000 }),
      await other.before('mcp__files__write_file', { path: `${ws}/c`, content: '' }),
    ])
      expect(result).toMatchObject(blocked('one-1111'))
    expect(await other.bash('git status && ls -la | head -3')).toEqual(passed)
    expect(await other.before('Read', { file_path: `${ws}/a.txt` })).toEqual(passed)
    expect(await one.stop()).toEqual(passed)
    expect(home.records()).toEqual([])
    expect(await other.write(`${ws}/b.txt`)).toEqual(passed)
    expect(await one.write(`${ws}/a.txt`)).toMatchObject(blocked('other-2222'))
  })

  it('says who, for how long, and where to look', async () => {
    const { ws, one, other } = two()
    await one.write(`${ws}/a`)
    const { stderr } = await other.write(`${ws}/a`)
    expect(stderr.split('\n')).toEqual([
      `parallel session lock held by one-1111 (pid ${process.pid}) — wait or close that session first`,
      expect.stringMatching(
        /^held for \d+ s, last active \d+ s ago; it ends when that session stops or ends, or after .* without a sign of it$/,
      ),
      `who and why: lh why workspace:${ws}`,
      '',
    ])
  })

  it('writes the record of the seed, readable by nobody else, with what is ours beside', async () => {
    const { home, ws, one } = two()
    await one.write(`${ws}/a`)
    expect(home.files()).toEqual([expect.stringMatching(/^session-lock-[0-9a-f]{12}\.json$/), 'session-lock.lock'])
    const file = path.join(home.runtime, home.files()[0]!)
    expect(path.basename(file)).toBe(`session-lock-${execFileSync('md5sum', { input: ws }).toString().slice(0, 12)}.json`)
    expect(home.records()).toEqual([
      expect.objectContaining({
        schema_version: 1,
        session_id: 'one-1111',
        pid: process.pid,
        ttl_ms: 300_000,
        acquired_at: expect.any(Number),
        host: expect.any(String),
        boot_id: expect.any(String),
        pid_ns: expect.any(String),
        time_ns: expect.any(String),
        pid_started_at: expect.any(Number),
        cwd: ws,
        agent: 'claude',
        clk: { b: expect.any(String), m: expect.any(Number) },
      }),
    ])
    expect(fs.statSync(home.runtime).mode & 0o777).toBe(0o700)
    for (const name of home.files()) expect([name, fs.statSync(path.join(home.runtime, name)).mode & 0o777]).toEqual([name, 0o600])
    expect(fs.statSync(path.join(home.runtime, 'session-lock.lock')).size).toBe(0)
  })

  it('lets subagents of one session work beside each other', async () => {
    const { ws, one } = two()
    const results = await Promise.all(
      [1, 2, 3, 4].map(at => one.write(`${ws}/${at}`, { agent_id: `sub-${at}`, agent_type: 'general-purpose' })),
    )
    for (const result of results) expect(result).toEqual(passed)
  })

  it('never takes on refresh, and leaves another’s alone at stop and end', async () => {
    const { home, ws, one, other } = two()
    expect(await one.call('refresh', { hook_event_name: 'PostToolBatch' })).toEqual(passed)
    expect(home.records()).toEqual([])
    await one.write(`${ws}/a`)
    const before = home.records()
    for (const event of ['refresh', 'after-tool', 'stop', 'session-end', 'session-start']) expect(await other.call(event)).toEqual(passed)
    expect(home.records()).toEqual(before)
  })

  it('is called as `lh hook` too, with the same answers', async () => {
    const { home, ws, one } = two()
    await one.write(`${ws}/a`)
    const payload = JSON.stringify({ session_id: 'x', cwd: ws, tool_name: 'Write', tool_input: { file_path: `${ws}/a` } })
    const lh = [process.execPath, path.join(path.dirname(hookProgram), 'lh.cjs')]
    expect(await runHook(['hook', 'before-tool', '--agent', 'claude'], payload, { HOME: home.dir }, ws, lh)).toMatchObject(
      blocked('one-1111'),
    )
    expect(await runHook(['--quiet', 'hook', 'before-tool'], payload, { HOME: home.dir }, ws, lh)).toMatchObject(blocked('one-1111'))
  })
})

describe('which workspace', () => {
  it('is that of the path that is written, not the one where the session stands', async () => {
    const { home, ws, one, other } = two()
    git(ws, 'commit', '-q', '--allow-empty', '-m', 'x')
    const wt = path.join(folder('wts-'), 'w')
    git(ws, 'worktree', 'add', '-q', wt)
    await one.write(`${ws}/a`)
    const inside = home.session('inside', wt, { CLAUDE_PID: String(process.ppid) })
    expect(await inside.write(`${wt}/a`)).toEqual(passed)
    expect(await inside.bash('npm test')).toEqual(passed)
    expect(await inside.write(`${ws}/a`)).toMatchObject(blocked('one-1111'))
    expect(await inside.bash(`cd ${ws} && git commit -am x`)).toMatchObject(blocked('one-1111'))
    expect(await inside.bash(`git -C ${ws} checkout main`)).toMatchObject(blocked('one-1111'))
    expect(await other.write(`${wt}/b`)).toMatchObject(blocked('inside'))
    expect(await other.before('EnterWorktree', { name: 'mine' })).toEqual(passed)
    expect(
      home
        .records()
        .map(({ session_id }) => session_id)
        .toSorted((a, b) => (a < b ? -1 : 1)),
    ).toEqual(['inside', 'one-1111'])
  })

  it('is that of the files that a command plainly writes, and not of those that it reads', async () => {
    const home = new Home()
    const [here, there] = [workspace(), workspace()]
    await home.session('holder', there, { CLAUDE_PID: '1' }).write(`${there}/x`)
    const me = home.session('me', here, { CLAUDE_PID: String(process.pid) })
    const near = path.relative(here, there)
    for (const command of [
      `touch ${there}/f`,
      `echo hi >> ${near}/f`,
      `cp a.txt ${there}/`,
      `rm -rf ${there}`,
      `make -C ${there}`,
      `GIT_DIR=${near}/.git git commit -m x`,
      `sh -c 'cd ${there} && touch x'`,
    ])
      expect(await me.bash(command), command).toMatchObject(blocked('holder'))
    for (const command of [`cp ${there}/a ./a`, `cat ${there}/a > b`, `diff ${there}/a a; make`])
      expect(await me.bash(command), command).toEqual(passed)
  })

  it('is found below a directory that a command writes as a whole, and by nothing that only goes there', async () => {
    const home = new Home()
    const here = workspace()
    git(here, 'commit', '-q', '--allow-empty', '-m', 'x')
    git(here, 'worktree', 'add', '-q', 'trees/one')
    const holder = home.session('holder', path.join(here, 'trees/one'), { CLAUDE_PID: '1' })
    expect(await holder.write(`${here}/trees/one/x`)).toEqual(passed)
    const me = home.session('me', here, { CLAUDE_PID: String(process.pid) })
    const outside = home.session('out', path.dirname(here), { CLAUDE_PID: String(process.pid) })
    for (const command of ['rm -rf trees', 'mv trees old', 'rm -rf tr*', 'chmod -R a-w .', 'find . -name x -delete', 'git clean -ffdx'])
      expect(await me.bash(command), command).toMatchObject(blocked('holder'))
    expect(await outside.bash(`rm -rf ${path.basename(here)}`)).toMatchObject(blocked('holder'))
    for (const command of [
      'rm -rf other',
      'touch trees',
      'mkdir -p trees/two',
      'mv a trees/',
      'cp a trees',
      'rm -f trees/a',
      'git clean -fd',
    ])
      expect(await me.bash(command), command).toEqual(passed)
    expect(new Set(home.records().map(({ session_id: id }) => id))).toEqual(new Set(['holder', 'me']))
    await holder.stop()
    expect(await me.bash('rm -rf trees')).toEqual(passed)
  })

  it('is found through links, below files that do not exist yet, and in patches', async () => {
    const { ws, one, other } = two()
    const link = path.join(folder('l-'), 'link')
    fs.symlinkSync(ws, link)
    await one.write(`${link}/new/deep/file`)
    expect(await other.write(`${ws}/x`)).toMatchObject(blocked('one-1111'))
    const elsewhere = other.home.session('third', folder('else-'), { CLAUDE_PID: '1' })
    const patch = `*** Begin Patch\n*** Update File: ${ws}/a.txt\n@@\n-a\n+b\n*** End Patch`
    expect(await elsewhere.before('apply_patch', { command: patch })).toMatchObject(blocked('one-1111'))
  })

  it('is where a link leads, also one to nothing, and where `..` behind it does', async () => {
    const home = new Home()
    const [here, there] = [workspace(), workspace()]
    fs.mkdirSync(path.join(there, 'sub'))
    await home.session('holder', there, { CLAUDE_PID: '1' }).write(`${there}/x`)
    const me = home.session('me', here, { CLAUDE_PID: String(process.pid) })
    const links = {
      file: `${there}/f`,
      dangling: path.join(path.relative(here, there), 'sub/../new'),
      twice: 'dangling',
      newdir: `${there}/none`,
      directory: `${there}/sub`,
      round: 'about',
      about: 'round/../x',
      own: 'none',
    }
    fs.writeFileSync(path.join(there, 'f'), '')
    for (const [name, target] of Object.entries(links)) fs.symlinkSync(target, path.join(here, name))
    for (const file of ['file', 'dangling', 'twice', 'newdir/a', 'directory/a', 'directory/../a'])
      expect(await me.write(`${here}/${file}`), file).toMatchObject(blocked('holder'))
    for (const command of [
      'echo a > file',
      'echo a >> dangling',
      'echo a | tee dangling',
      'touch twice',
      'truncate -s 0 file',
      'sed -i s/a/b/ file',
      'touch directory/../a',
      `touch ${here}/directory/../a`,
      'cd directory && touch ../a',
    ])
      expect(await me.bash(command), command).toMatchObject(blocked('holder'))
    for (const file of ['round', 'round/../a', 'own', 'none/../a', 'none/a/../../b', `${'a/../'.repeat(500)}a`])
      expect(await me.write(`${here}/${file}`), file).toEqual(passed)
    expect(await me.bash('touch own')).toEqual(passed)
    expect(await me.bash('make 2>&1')).toEqual(passed)
  })

  it('is found behind any number of others, or it is said that it was not looked for', async () => {
    const home = new Home()
    const [here, there] = [workspace(), workspace()]
    await home.session('holder', there, { CLAUDE_PID: '1' }).write(`${there}/x`)
    const me = home.session('me', here, { CLAUDE_PID: String(process.pid) })
    const patchOf = (count: number): { input: string } => ({
      input: `*** Begin Patch\n${Array.from({ length: count }, (_, at) => `*** Add File: ${at}\n+x\n`).join('')}*** Add File: ${there}/x\n+x\n*** End Patch`,
    })
    expect(
      await me.bash(`rm -f ${'a '.repeat(40)}${Array.from({ length: 40 }, (_, at) => `sub/${at}`).join(' ')} ${there}/f`),
    ).toMatchObject(blocked('holder'))
    expect(await me.bash(`cat > ${there}/f <<'EOF'\n${'x'.repeat(66_000)}\nEOF`)).toMatchObject(blocked('holder'))
    expect(await me.before('apply_patch', patchOf(300))).toMatchObject(blocked('holder'))
    expect(home.log()).toBe('')
    expect(await me.before('apply_patch', patchOf(5000))).toEqual(passed)
    expect(home.log()).toMatch(/^\S+Z claude before-tool only the first 4096 paths of a tool call were looked at\n$/)
    const closed = home.session('me', here, { ...me.env, LEASEHOLD_SESSION_LOCK_FAIL: 'closed' })
    for (const result of [
      await closed.before('apply_patch', patchOf(5000)),
      await closed.bash(`rm -f ${Array.from({ length: 5000 }, (_, at) => `sub/${at}`).join(' ')}`),
      await home.session('me', here, { ...closed.env, LEASEHOLD_SESSION_LOCK_SCOPE: 'path' }).before('apply_patch', patchOf(40)),
    ])
      expect(result).toMatchObject({ code: 2, stderr: expect.stringContaining('session_lock.fail is closed') })
  })

  it('of several is taken whole or not at all', async () => {
    const home = new Home()
    const [a, b] = [workspace(), workspace()].sort() as [string, string]
    await home.session('holder', b, { CLAUDE_PID: '1' }).write(`${b}/x`)
    const both = `*** Begin Patch\n*** Add File: ${a}/x\n+x\n*** Add File: ${b}/x\n+x\n*** End Patch`
    expect(await home.session('me', a, { CLAUDE_PID: String(process.pid) }).before('apply_patch', { input: both })).toMatchObject(
      blocked('holder'),
    )
    expect(home.records().map(({ session_id }) => session_id)).toEqual(['holder'])
  })

  it('is refreshed while its session works in another workspace', async () => {
    const home = new Home()
    const [here, there] = [workspace(), workspace()]
    const me = home.session('me', here, { CLAUDE_PID: String(process.pid), LEASEHOLD_SESSION_LOCK_TTL: '10s' })
    expect(await me.write(`${there}/x`)).toEqual(passed)
    expect(await me.after('Write', { file_path: `${there}/x` })).toEqual(passed)
    const seenAt = (): number => home.records().find(({ workspace }) => workspace === there)!.clk.m
    const before = seenAt()
    for (let at = 0; at < 200 && seenAt() === before; at++) expect(await me.call('refresh')).toEqual(passed)
    expect(seenAt()).toBeGreaterThan(before)
    expect(await home.session('other', there, { CLAUDE_PID: '1' }).write(`${there}/x`)).toMatchObject(blocked('me'))
    fs.rmSync(there, { recursive: true })
    expect(await me.call('refresh')).toEqual(passed)
    expect(home.log()).toBe('')
  })

  it('outside Git there is none, unless session_lock.outside_git says directory', async () => {
    const { home, one, other } = two(folder('plain-'))
    expect(await one.write(`${one.cwd}/a`)).toEqual(passed)
    expect(home.records()).toEqual([])
    const env = { LEASEHOLD_SESSION_LOCK_OUTSIDE_GIT: 'directory' }
    const [first, second] = [one, other].map(({ id, cwd, env: own }) => home.session(id, cwd, { ...own, ...env })) as [
      typeof one,
      typeof one,
    ]
    expect(await first.write(`${one.cwd}/a`)).toEqual(passed)
    expect(await second.write(`${one.cwd}/b`)).toMatchObject(blocked('one-1111'))
    expect(await second.write(path.join(folder('far-'), 'b'))).toEqual(passed)
  })

  it('outside Git is the whole directory in path scope too: there are no leases', async () => {
    const { home, one, other } = two(folder('plain-'))
    const env = { LEASEHOLD_SESSION_LOCK_OUTSIDE_GIT: 'directory', LEASEHOLD_SESSION_LOCK_SCOPE: 'path' }
    const [first, second] = [one, other].map(({ id, cwd, env: own }) => home.session(id, cwd, { ...own, ...env })) as [
      typeof one,
      typeof one,
    ]
    const input = { file_path: `${one.cwd}/a`, content: 'x' }
    expect(await first.before('Write', input)).toEqual(passed)
    expect(await first.after('Write', input)).toEqual(passed)
    expect(await second.write(`${one.cwd}/b`)).toMatchObject(blocked('one-1111'))
    expect(await first.stop()).toEqual(passed)
    expect(await second.write(`${one.cwd}/b`)).toEqual(passed)
  })
})

describe('the end of a session', () => {
  it('keeps the lock at Stop while something runs in the background or will wake it', async () => {
    const { home, ws, one, other } = two()
    await one.write(`${ws}/a`)
    for (const more of [
      { background_tasks: [{ id: 'b', type: 'shell', status: 'running', command: 'sleep 9' }] },
      { session_crons: [{ id: 'c', schedule: '* * * * *' }] },
    ]) {
      expect(await one.stop(more)).toEqual(passed)
      expect(await other.write(`${ws}/a`)).toMatchObject(blocked('one-1111'))
      expect(home.records()[0].ttl_ms).toBeGreaterThan(300_000)
    }
    await one.stop({ background_tasks: [{ id: 'b', status: 'completed' }] })
    expect(await other.write(`${ws}/a`)).toEqual(passed)
  })

  it('of Codex, which does not say what it left running, is not at Stop while a command never ended', async () => {
    const { home, ws, other } = two()
    const codex = home.session('codex-1', ws)
    const call = (event: string, more = {}) =>
      codex.call(event, { turn_id: '1', tool_name: 'Bash', tool_input: { command: 'make' }, tool_use_id: 'c1', ...more }, [
        '--agent',
        'codex',
      ])
    expect(await call('before-tool')).toEqual(passed)
    expect(await codex.call('stop', { turn_id: '1' }, ['--agent', 'codex'])).toEqual(passed)
    expect(await other.write(`${ws}/a`)).toMatchObject(blocked('codex-1'))
    expect(await call('after-tool')).toEqual(passed)
    expect(await codex.call('stop', { turn_id: '1' }, ['--agent', 'codex'])).toEqual(passed)
    expect(await other.write(`${ws}/a`)).toEqual(passed)
  })

  it('does not wait for a command that was blocked', async () => {
    const home = new Home()
    const [a, b] = [workspace(), workspace()].sort() as [string, string]
    await home.session('holder', b, { CLAUDE_PID: '1' }).write(`${b}/x`)
    const codex = home.session('codex-1', a)
    const call = (event: string, command = '') =>
      codex.call(event, { turn_id: '1', tool_name: 'Bash', tool_input: { command }, tool_use_id: command }, ['--agent', 'codex'])
    expect(await call('before-tool', 'make')).toEqual(passed)
    expect(await call('before-tool', `cd ${b} && make`)).toMatchObject(blocked('holder'))
    const mine = () => home.records().find(({ session_id }) => session_id === 'codex-1')
    expect(mine(), 'what runs goes on').toMatchObject({ running: [{ id: 'make' }] })
    expect(await call('after-tool', 'make')).toEqual(passed)
    expect(await codex.call('stop', { turn_id: '1' }, ['--agent', 'codex'])).toEqual(passed)
    expect(mine()).toBeUndefined()
  })

  it('frees everything that the session has, in every workspace', async () => {
    const { home, ws, one } = two()
    const second = workspace()
    await one.write(`${ws}/a`)
    await one.write(`${second}/a`)
    expect(home.records()).toHaveLength(2)
    expect(await one.end()).toEqual(passed)
    expect(home.files()).toEqual(['session-lock.lock'])
  })

  const linux = requires(process.platform === 'linux', 'needs /proc')
  linux.it('is seen when the client was killed, but not while a command of it goes on', async () => {
    const { ws, home, other } = two()
    const client = spawn('sleep', ['60'])
    const child = spawn('sleep', ['60'], { env: { ...process.env, CLAUDE_CODE_SESSION_ID: 'killed' }, detached: true })
    await home.session('killed', ws, { CLAUDE_PID: String(client.pid) }).write(`${ws}/a`)
    expect(await other.write(`${ws}/a`)).toMatchObject(blocked('killed'))
    client.kill('SIGKILL')
    await until(() => !isRunning(client.pid!), 'the client is gone')
    expect(await other.write(`${ws}/a`)).toMatchObject(blocked('killed'))
    child.kill('SIGKILL')
    await until(() => !isRunning(child.pid!), 'its command is gone')
    expect(await other.write(`${ws}/a`)).toEqual(passed)
  })

  it('is not believed of a client that nobody named', async () => {
    const { ws, home, other } = two()
    // Its pid is that of the hook's parent, which says nothing.
    await home.session('nameless', ws).write(`${ws}/a`)
    expect(home.records()[0]).toMatchObject({ pid_started_at: null })
    expect(await other.write(`${ws}/a`)).toMatchObject(blocked('nameless'))
  })

  it('is not the end of what one client process goes on with under another id', async () => {
    const { ws, home, one, other } = two()
    await one.write(`${ws}/a`)
    const cleared = home.session('cleared', ws, one.env)
    expect(await cleared.call('session-start', { hook_event_name: 'SessionStart', source: 'clear' })).toEqual(passed)
    expect(home.records()).toEqual([expect.objectContaining({ session_id: 'cleared' })])
    expect(await cleared.write(`${ws}/a`)).toEqual(passed)
    const forked = home.session('forked', ws, one.env)
    expect(await forked.write(`${ws}/a`)).toEqual(passed)
    expect(await other.write(`${ws}/a`)).toMatchObject(blocked('forked'))
  })
})

describe('long commands', () => {
  it('stretch the lock to their time-out and a minute, and give it back', async () => {
    const { home, ws, one } = two()
    await one.bash('make', { timeout: 1_200_000 })
    expect(home.records()[0].ttl_ms).toBe(1_260_000)
    await one.before('Monitor', { command: 'x', timeout_ms: 3_600_000 }, { tool_use_id: 't2' })
    expect(home.records()[0].ttl_ms).toBe(3_660_000)
    await one.after('Monitor', { command: 'x' }, { tool_use_id: 't2' })
    expect(home.records()[0].ttl_ms).toBeLessThanOrEqual(1_260_000)
    expect(home.records()[0].ttl_ms).toBeGreaterThan(1_200_000)
    await one.after('Bash', { command: 'make' })
    expect(home.records()[0].ttl_ms).toBe(300_000)
    await one.bash('make')
    expect(home.records()[0].ttl_ms).toBe(660_000)
    expect(ws).toBe(home.records()[0].workspace)
  })

  it('that a tool of a server runs are no shorter than those of a shell, whatever it calls a time-out', async () => {
    const { home, one } = two()
    await one.before('mcp__terminal__execute_command', { command: 'make', timeout: 300 })
    expect(home.records()[0].ttl_ms).toBe(660_000)
    await one.after('mcp__terminal__execute_command', { command: 'make', timeout: 300 })
    expect(home.records()[0].ttl_ms).toBe(300_000)
    await one.before('mcp__files__write_file', { path: 'a', content: 'x' })
    expect(home.records()[0].ttl_ms).toBe(300_000)
  })

  it('that go on in the background are not over with the tool call, and end with a stop that leaves nothing', async () => {
    const { home, one } = two()
    const client = { CLAUDE_PID: String(process.pid), CLAUDE_CODE_SESSION_ID: one.id }
    for (const [env, ms] of [
      [{}, 600_000],
      [client, 3_600_000],
    ] as const) {
      const session = home.session(one.id, one.cwd, env)
      await session.bash('make', { run_in_background: true })
      await session.after('Bash', { command: 'make', run_in_background: true }, { tool_response: { backgroundTaskId: 'b1' } })
      expect(home.records()[0].ttl_ms).toBeGreaterThanOrEqual(ms)
      await session.before('Bash', { command: 'make test', timeout: 1000 }, { tool_use_id: 't2' })
      await session.after('Bash', { command: 'make test' }, { tool_use_id: 't2' })
      expect(home.records()[0].ttl_ms).toBeGreaterThan(ms - 60_000)
      await session.stop()
      expect(home.records()).toEqual([])
    }
    // What only reads in the background keeps nobody out.
    await one.write('a')
    await one.bash('tail -f a', { run_in_background: true })
    await one.after('Bash', { command: 'tail -f a', run_in_background: true }, { tool_response: { backgroundTaskId: 'b2' } })
    expect(home.records()[0].ttl_ms).toBe(300_000)
  })
})

describe('identity', () => {
  it('is handed to the commands of the session through CLAUDE_ENV_FILE', async () => {
    const { ws, home } = two()
    const file = path.join(folder('env-'), 'sessionstart-hook-1.sh')
    await home.session('abc-123', ws, { CLAUDE_ENV_FILE: file }).call('session-start', { source: 'startup' })
    expect(fs.readFileSync(file, 'utf8')).toBe("export LEASEHOLD_SESSION_ID='abc-123'\n")
    await home.session('abc-123', ws, { CLAUDE_ENV_FILE: file, LEASEHOLD_SESSION_ID: '01LAUNCHED' }).call('session-start')
    expect(fs.readFileSync(file, 'utf8')).toContain("export LEASEHOLD_SESSION_ID='01LAUNCHED'\n")
    await home.session("'; rm -rf x; '", ws, { CLAUDE_ENV_FILE: `${file}2` }).call('session-start')
    expect(fs.existsSync(`${file}2`)).toBe(false)
  })
})

describe('failures', () => {
  const bad: readonly (readonly [string, string])[] = [
    ['nothing', ''],
    ['no JSON', 'hello'],
    ['half of it', '{"session_id":"x"'],
    ['no object', '[1]'],
    ['no session', '{"cwd":"/"}'],
    ['a strange session', '{"session_id":"a\\nb"}'],
    ['no tool', '{"session_id":"x","tool_input":{"command":"touch z"}}'],
    ['a strange tool', '{"session_id":"x","tool_name":7,"tool_input":{"command":"touch z"}}'],
  ]

  it.each(bad)('%s lets the tool run, with one line in the log', async (_name, text) => {
    // Nobody has made a place for it yet.
    const { home, ws } = two()
    expect(await runHook(['before-tool', '--agent', 'claude'], text, { HOME: home.dir }, ws)).toEqual(passed)
    expect(home.log()).toMatch(/^\S+Z claude before-tool [^\n]+\n$/)
  })

  it('block with session_lock.fail closed, but only tool calls', async () => {
    const { home, ws } = two()
    fs.mkdirSync(path.join(ws, '.leasehold'))
    fs.writeFileSync(path.join(ws, '.leasehold', 'config.yaml'), 'session_lock: {fail: closed}\n')
    for (const [, text] of bad) {
      expect(await runHook(['before-tool'], text, { HOME: home.dir }, ws)).toMatchObject({
        code: 2,
        stdout: '',
        stderr: expect.stringMatching(/^leasehold: the session lock could not be checked, and session_lock\.fail is closed: /),
      })
      expect(home.log()).toMatch(/^\S+Z - before-tool [^\n]+\n/)
      expect(await runHook(['stop'], text, { HOME: home.dir }, ws)).toEqual(passed)
    }
    expect(await home.session('s', ws).write(`${ws}/a`)).toEqual(passed)
  })

  it('of a client that sends nothing end with the deadline', async () => {
    const { home, ws } = two()
    // Without one it would wait for as long as its client.
    expect(await runHook(['before-tool'], null, { HOME: home.dir }, ws)).toEqual(passed)
  })

  it('of a place for locks lock nobody out', async () => {
    const { home, ws, one } = two()
    fs.mkdirSync(path.join(home.dir, '.claude'))
    fs.writeFileSync(home.runtime, 'a file')
    expect(await one.write(`${ws}/a`)).toEqual(passed)
    fs.rmSync(home.runtime)
    const elsewhere = folder('target-')
    fs.symlinkSync(elsewhere, home.runtime)
    expect(await one.write(`${ws}/a`)).toEqual(passed)
    expect(fs.readdirSync(elsewhere)).toEqual([])
    expect(await home.session('s', ws, { HOME: '' }).write(`${ws}/a`)).toEqual(passed)
    expect(await home.session('s', ws, { HOME: 'relative' }).write(`${ws}/a`)).toEqual(passed)
    // Where making a directory says ENOENT although the one above is there, as some automounters do.
    expect(await home.session('s', ws, { HOME: '/proc/nobody' }).write(`${ws}/a`)).toEqual(passed)
  })

  it('of a configuration are told in the log, and what the user says still counts', async () => {
    const { home, ws, one, other } = two()
    fs.mkdirSync(path.join(ws, '.leasehold'))
    fs.writeFileSync(path.join(ws, '.leasehold', 'config.yaml'), 'nonsense: 1\n')
    expect(await one.write(`${ws}/a`)).toEqual(passed)
    expect(await other.write(`${ws}/a`)).toMatchObject(blocked('one-1111'))
    fs.mkdirSync(path.join(home.dir, '.config/leasehold'), { recursive: true })
    fs.writeFileSync(path.join(home.dir, '.config/leasehold/config.yaml'), 'session_lock.enabled: false\n')
    expect(await other.write(`${ws}/a`)).toEqual(passed)
    expect(home.log()).toContain('nonsense')
  })
})

describe('settings', () => {
  it('session_lock.enabled: false locks nothing', async () => {
    const { home, ws, one } = two()
    expect(await home.session('s', ws, { ...one.env, LEASEHOLD_SESSION_LOCK_ENABLED: 'false' }).write(`${ws}/a`)).toEqual(passed)
    expect(home.records()).toEqual([])
  })

  it('session_lock.ttl is how long a lock lasts', async () => {
    const { home, ws, one } = two()
    await home.session('s', ws, { ...one.env, LEASEHOLD_SESSION_LOCK_TTL: '42s' }).write(`${ws}/a`)
    expect(home.records()[0].ttl_ms).toBe(42_000)
  })

  it('session_lock.scope: path lets two sessions share a workspace file by file', async () => {
    const { home, ws, one, other } = two()
    const env = { LEASEHOLD_SESSION_LOCK_SCOPE: 'path' }
    const [first, second] = [one, other].map(({ id, cwd, env: own }) => home.session(id, cwd, { ...own, ...env })) as [
      typeof one,
      typeof one,
    ]
    expect(await first.write(`${ws}/a.txt`)).toEqual(passed)
    expect(await first.write(`${ws}/a.txt`)).toEqual(passed)
    expect(await second.write(`${ws}/b.txt`)).toEqual(passed)
    const refused = await second.write(`${ws}/a.txt`)
    expect(refused).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/^a\.txt is being written by another session: one-1111/),
    })
    // Commands have the workspace while they run.
    expect(await first.bash('make')).toEqual(passed)
    expect(await second.bash('make')).toMatchObject(blocked('one-1111'))
    expect(await second.write(`${ws}/c.txt`)).toEqual(passed)
    await first.after('Bash', { command: 'make' })
    expect(await second.bash('make')).toEqual(passed)
    await second.end()
    expect(await first.end()).toEqual(passed)
    expect(home.files().filter(name => name !== 'session-lock.lock')).toEqual([])
    expect(await home.session('third', ws, { CLAUDE_PID: '1', ...env }).write(`${ws}/a.txt`)).toEqual(passed)
  })

  it('session_lock.scope: path keeps a command from what another session writes below a directory that it writes as a whole', async () => {
    const { ws, one, other } = two()
    const env = { LEASEHOLD_SESSION_LOCK_SCOPE: 'path' }
    const [first, second] = [one, other].map(({ home, id, cwd, env: own }) => home.session(id, cwd, { ...own, ...env })) as [
      typeof one,
      typeof one,
    ]
    fs.mkdirSync(path.join(ws, 'src/deep'), { recursive: true })
    expect(await first.write(`${ws}/src/deep/a.txt`)).toEqual(passed)
    for (const command of ['rm -rf src', 'mv src old', `rm -rf ${ws}`, 'cd src && rm -rf *', 'rm -rf src/deep/a.txt', 'chmod -R a-w .'])
      expect(await second.bash(command), command).toMatchObject({
        code: 2,
        stdout: '',
        stderr: expect.stringMatching(/^src\/deep\/a\.txt is being written by another session: one-1111/),
      })
    // Who was refused has no lock of the workspace.
    expect(await first.bash('make')).toEqual(passed)
    expect(await first.after('Bash', { command: 'make' })).toEqual(passed)
    for (const command of ['touch src/b', 'mkdir -p src/deep/er', 'mv b src/', 'cp b src', 'rm -rf src/other']) {
      expect(await second.bash(command), command).toEqual(passed)
      expect(await second.after('Bash', { command })).toEqual(passed)
    }
    expect(await first.bash('rm -rf src')).toEqual(passed)
    await first.end()
    expect(await second.bash('rm -rf src')).toEqual(passed)
    await second.end()
    // A file in a worktree below it, of which nobody has the whole.
    git(ws, 'commit', '-q', '--allow-empty', '-m', 'x')
    git(ws, 'worktree', 'add', '-q', 'trees/one')
    expect(await first.write(`${ws}/trees/one/b.txt`)).toEqual(passed)
    expect(await second.bash('rm -rf trees')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^b\.txt is being written by another/),
    })
  })

  it('session_lock.scope: path has nothing to say of a directory in a repository without a store', async () => {
    const { ws, one } = two()
    const me = one.home.session(one.id, ws, { ...one.env, LEASEHOLD_SESSION_LOCK_SCOPE: 'path', LEASEHOLD_SESSION_LOCK_FAIL: 'closed' })
    expect(await me.bash('rm -rf src')).toEqual(passed)
    expect(one.home.log()).toBe('')
    expect(fs.existsSync(path.join(ws, '.git/leasehold'))).toBe(false)
  })
})

describe('a session that works on a ticket', () => {
  it('renews its leases by every hook, and is told once, before its next write, what it has lost', async () => {
    const repo = repository()
    const home = new Home()
    const env = { CLAUDE_PID: String(process.pid), CLAUDE_CODE_SESSION_ID: 'worker-1' }
    const me = home.session('worker-1', repo.dir, env)
    const agent = repo.as(null, { ...env, HOME: home.dir })
    const { token } = await agent.acquire('fix-it --ttl 5')
    for (let at = 0; at < 8; at++) {
      await sleep(900)
      expect(await me.call('refresh')).toEqual(passed)
    }
    expect((await agent.lease('ticket:fix-it')).token).toBe(token)
    const beats = repo.story().filter(line => line.startsWith('heartbeat')).length
    expect(beats).toBeGreaterThan(2)
    expect(beats).toBeLessThan(9)
    git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'x')
    const elsewhere = path.join(folder('wts-'), 'boss')
    git(repo.dir, 'worktree', 'add', '-q', elsewhere)
    const boss = repo.as('human:boss').in(elsewhere)
    expect((await boss.run('claim evict fix-it --reason', 'mine now')).code).toBe(0)
    await boss.acquire('fix-it')
    await sleep(1100)
    expect(await me.call('refresh')).toEqual(passed)
    expect(await me.before('Read', { file_path: `${repo.dir}/a` })).toEqual(passed)
    const told = await me.write(`${repo.dir}/a`)
    expect(told).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(/your lease of ticket:fix-it is lost[^]*\nnext: .*lh why ticket:fix-it/),
    })
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
  }, 60_000)
})

describe('the leases of a session', () => {
  const worker = (repo = repository()) => {
    const home = new Home()
    const env = { CLAUDE_PID: String(process.pid), CLAUDE_CODE_SESSION_ID: 'worker-1', HOME: home.dir }
    return { repo, home, me: home.session('worker-1', repo.dir, env), agent: repo.as('agent:worker', env) }
  }
  const isLost = (resource: string) => ({
    code: 2,
    stdout: '',
    stderr: expect.stringMatching(new RegExp(`^your lease of ${resource} is lost[^]*\nnext: `)),
  })
  const heldFile = (dir: string) => path.join(dir, '.git', 'leasehold', 'held.json')

  it.each(['env:long is kept', 'env:long is released'])(
    'are renewed too when they are shorter than those before: %s',
    async name => {
      const { repo, me, agent } = worker()
      await agent.acquire('env:long')
      expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
      const { token } = await agent.acquire('env:short --ttl 4s')
      if (name.endsWith('released')) expect((await agent.run('claim release env:long')).code).toBe(0)
      for (let at = 0; at < 10; at++) {
        expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
        await sleep(700)
      }
      expect(await agent.lease('env:short')).toMatchObject({ token, standing: 'live' })
      const beats = repo.story().filter(line => line === 'heartbeat env:short').length
      expect(beats).toBeGreaterThan(2)
      expect(beats).toBeLessThan(12)
    },
    60_000,
  )

  it('are renewed in time when somebody made one shorter', async () => {
    const { repo, me, agent } = worker()
    await agent.acquire('env:a')
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    expect((await agent.run('claim renew env:a --ttl 3s')).code).toBe(0)
    for (let at = 0; at < 8; at++) {
      expect(await me.call('refresh')).toEqual(passed)
      await sleep(700)
    }
    expect(await agent.lease('env:a')).toMatchObject({ standing: 'live' })
  }, 60_000)

  it('are renewed while it works in another worktree', async () => {
    const { repo, me, agent } = worker()
    await agent.acquire('env:a --ttl 5')
    expect(await me.call('refresh')).toEqual(passed)
    git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'x')
    const elsewhere = path.join(folder('wts-'), 'sub')
    git(repo.dir, 'worktree', 'add', '-q', elsewhere)
    const beats = () => repo.story().filter(line => line.startsWith('heartbeat')).length
    const before = beats()
    for (let at = 0; at < 200 && beats() === before; at++) expect(await me.call('refresh', { cwd: elsewhere })).toEqual(passed)
    expect(beats()).toBeGreaterThan(before)
  }, 60_000)

  it('block the next write once when one was lost, long before it is due', async () => {
    const { repo, me, agent } = worker()
    await agent.acquire('env:k')
    await agent.acquire('env:kept')
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    git(repo.dir, 'commit', '-q', '--allow-empty', '-m', 'x')
    const elsewhere = path.join(folder('wts-'), 'boss')
    git(repo.dir, 'worktree', 'add', '-q', elsewhere)
    const boss = repo.as('human:boss').in(elsewhere)
    await boss.acquire('env:theirs')
    const before = repo.story()
    for (let at = 0; at < 3; at++) expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    expect(repo.story(), 'what is only about others makes no hook renew').toEqual(before)
    expect((await boss.run('claim evict env:k --reason', 'mine now')).code).toBe(0)
    await boss.acquire('env:k')
    expect(await me.bash('git status')).toEqual(passed)
    expect(await me.call('refresh')).toEqual(passed)
    expect(await me.bash('make')).toMatchObject(isLost('env:k'))
    expect(me.home.records()[0]!.running, 'what was blocked does not run').toBeUndefined()
    const told = repo.story()
    for (let at = 0; at < 3; at++) expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    expect(repo.story(), 'nothing is left to be looked at').toEqual(told)
  }, 60_000)

  it('leave the workspace to others in path scope when a lost one blocks a command', async () => {
    const { repo, home, agent } = worker()
    const env = { LEASEHOLD_SESSION_LOCK_SCOPE: 'path' }
    const me = home.session('worker-1', repo.dir, { CLAUDE_PID: String(process.pid), ...env })
    const lose = async (resource: string) => {
      await agent.acquire(resource)
      expect(await me.call('refresh')).toEqual(passed)
      expect((await repo.as('human:boss').run(`claim evict ${resource} --reason`, 'mine now')).code).toBe(0)
    }
    await lose('env:k')
    expect(await me.bash('make')).toMatchObject(isLost('env:k'))
    expect(home.records()).toEqual([])
    expect(await home.session('other', repo.dir, { CLAUDE_PID: '1', ...env }).bash('make')).toEqual(passed)
    await home.session('other', repo.dir, env).end()
    const first = { tool_use_id: 'first' }
    expect(await me.before('Bash', { command: 'make' }, first)).toEqual(passed)
    await lose('env:l')
    expect(await me.before('Bash', { command: 'make' }, { tool_use_id: 'second' })).toMatchObject(isLost('env:l'))
    expect(home.records(), 'the first one runs').toMatchObject([{ session_id: 'worker-1', running: [{ id: 'first' }] }])
  }, 60_000)

  it('block it also when another agent of the same worktree took the lease, before or after the session’s first hook', async () => {
    for (const first of [true, false]) {
      const { repo, me, agent } = worker()
      const other = repo.as('agent:other', { LEASEHOLD_SESSION_ID: 'other-2' })
      await agent.acquire('env:k')
      if (first) expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
      expect((await other.run('claim evict env:k --reason', 'mine now')).code).toBe(0)
      await other.acquire('env:k')
      expect(await me.write(`${repo.dir}/a`)).toMatchObject(isLost('env:k'))
      expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
      // What the other has is its own.
      expect((await other.run('claim release env:k')).code).toBe(0)
      await agent.acquire('env:k')
      expect(JSON.parse(fs.readFileSync(heldFile(repo.dir), 'utf8'))).not.toHaveProperty('replaced')
      expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    }
  }, 60_000)

  it('are lost together when they were taken together, and that is said once', async () => {
    const { repo, me, agent } = worker()
    await agent.ok('claim acquire env:a env:b')
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    expect((await repo.as('human:boss').run('claim evict env:b --reason', 'mine now')).code).toBe(0)
    expect(await me.write(`${repo.dir}/a`)).toMatchObject(isLost('env:a, env:b'))
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
  }, 60_000)

  it('say nothing of what the session gave back itself, or handed on', async () => {
    const { repo, me, agent } = worker()
    await agent.acquire('env:k')
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    expect((await agent.run('claim release env:k')).code).toBe(0)
    const other = repo.as('agent:other', { LEASEHOLD_SESSION_ID: 'other-2' })
    await other.acquire('env:k')
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    await agent.acquire('env:t')
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
    expect((await agent.run('claim transfer env:t --to-agent agent:other --reason', 'yours')).code).toBe(0)
    expect((await repo.as('agent:other').run('claim renew env:t')).code).toBe(0)
    expect(await me.write(`${repo.dir}/a`)).toEqual(passed)
  }, 60_000)
})

describe('what people see', () => {
  it('says who would take a free lock, and whether anybody would', async () => {
    const repo = repository()
    const home = new Home()
    const lh = repo.as('human:alice', { HOME: home.dir })
    const next = async () => [(await lh.ok('session-lock status')).next, (await lh.ok('why workspace:.')).next]
    for (const said of await next()) expect(said).toContain('lh hooks install <agent>')
    await lh.ok('hooks install gemini')
    for (const said of await next()) expect(said).toContain('the hook of the next tool call that writes takes it')
    await lh.ok('config set session_lock.enabled false')
    for (const said of await next()) expect(said).toContain('session_lock.enabled is false')
  })

  it('is a proper word where there is no place for a lock', async () => {
    const repo = repository()
    const home = new Home()
    const lh = repo.as('human:alice', { HOME: home.dir })
    const { file } = await lh.ok('session-lock status')
    const refused = async (said: string) => {
      for (const words of ['session-lock status', 'why workspace:.', 'session-lock release --force --reason x'])
        expect(await lh.refused('unavailable', words), words).toMatchObject({ message: said, hint: expect.stringContaining('ls -ld') })
      await lh.ok('status')
    }
    fs.mkdirSync(file, { recursive: true })
    await refused(`${file} is a directory where a lock should be, and hooks let everything pass.`)
    fs.rmSync(home.runtime, { recursive: true })
    fs.writeFileSync(home.runtime, 'a file')
    await refused(`${home.runtime} is not a directory.`)
    fs.rmSync(path.dirname(home.runtime), { recursive: true })
    fs.writeFileSync(path.dirname(home.runtime), 'a file')
    await refused(`${path.dirname(home.runtime)} is not a directory.`)
  })

  it('status and why show the lock, its holder, the proof, and how to free it; a person frees it', async () => {
    const repo = repository()
    const home = new Home()
    const lh = repo.as('human:alice', { HOME: home.dir })
    expect(await lh.ok('session-lock status')).toMatchObject({ standing: 'free', session_lock: null })
    expect(await lh.refused('not_found', 'session-lock release --force --reason', 'why not')).toBeDefined()
    await home.session('busy', repo.dir, { CLAUDE_PID: String(process.pid) }).write(`${repo.dir}/a`)
    const shown = await lh.ok('why workspace:.')
    expect(shown).toMatchObject({
      standing: 'live',
      workspace: repo.dir,
      session_lock: { session_id: 'busy', pid: process.pid, agent: 'claude' },
    })
    expect(shown.evidence.join('\n')).toMatch(new RegExp(`last sign of life[^]*process ${process.pid}, is alive`))
    expect(shown.next).toBe(`lh session-lock release --force --reason "…" ${repo.dir}`)
    expect(await lh.ok(`session-lock status ${repo.dir}`)).toMatchObject({ standing: 'live' })
    expect((await lh.ok('status')).session_lock).toMatchObject({ session_id: 'busy' })
    expect((await lh.run('status')).stdout).toContain('claude session busy')
    expect((await lh.run('why workspace:.')).stdout).toContain('held by   claude session busy')
    await lh.refused('usage', 'session-lock release')
    await lh.refused('usage', 'session-lock release --force')
    const done = await lh.ok('session-lock release --force --reason', 'its terminal is gone')
    expect(done).toMatchObject({ released: { session_id: 'busy' }, actor: 'human:alice', recorded: 'log' })
    expect(home.records()).toEqual([])
    expect(home.log()).toMatch(/release --force .* held by busy .* by human:alice: its terminal is gone/)
    expect(repo.log()).toContain('released by force: its terminal is gone')
    expect((await lh.ok('status')).session_lock).toBe(null)
    expect(parse((await lh.run('--json claim list')).stdout).count).toBe(0)
  })
})
