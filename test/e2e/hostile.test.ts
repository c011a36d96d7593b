import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, type Doc, folder, git, repository } from '../support/cli.ts'

// What people and programs type by mistake or on purpose. (A NUL cannot be an argument of a process; the unit tests have it.)

/** All at once; each is refused as a mistake of usage, and the message names what was wrong. */
async function allRefused(
  agent: Agent,
  cases: Readonly<Record<string, RegExp>>,
  words: (text: string) => readonly string[],
): Promise<void> {
  for (const [text, message] of Object.entries(cases)) {
    const [first, ...more] = words(text)
    // oxlint-disable-next-line no-await-in-loop -- each compares the log before and after
    const error = await agent.refused('usage', first!, ...more)
    expect(error.message, text).toMatch(message)
    // oxlint-disable-next-line no-control-regex -- these are the ones meant
    expect(error.message, text).not.toMatch(/[\u0000-\u001f\u2028-\u202e\ufeff]/)
  }
}

describe('a resource', () => {
  it('that cannot be one is refused by every command, and named', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('other')
    const files = Object.keys(repo.snapshot())
    const hostile = {
      '../x': /"\.\.\/x" is not a ticket id/,
      '../../etc/passwd': /is not a ticket id/,
      '': /"" has no name/,
      ':x': /":x" is not a resource/,
      'a:': /"a:" has no name/,
      'A B:x': /"A B:x" is not a resource/,
      'ticket:../x': /is not a ticket id/,
      'ticket:%2e%2e': /is not a ticket id/,
      'ticket:-x': /is not a ticket id/,
      'ticket:🚀': /is not a ticket id/,
      'env:a\nb': /"env:a\\u\{a\}b" contains U\+000A/,
      'env:a\u001b[31mb': /contains U\+001B/,
      'env:a\u202eb': /contains U\+202E/,
      'env:a\u2028b': /contains U\+2028/,
      'env:\ufeffa': /contains U\+FEFF/,
      'env: x': /begins or ends with a blank/,
      [`env:${'x'.repeat(300)}`]: /is too long: 304 bytes, a resource has at most 256/,
      [`env:${'é'.repeat(150)}`]: /is too long: 304 bytes/,
      [`ticket:${'x'.repeat(129)}`]: /is not a ticket id/,
      'path:../../etc': /"path:\.\.\/\.\.\/etc" leaves the repository/,
      'path:a/../../b': /leaves the repository/,
      'path:/etc/passwd': /"path:\/etc\/passwd" is outside the repository/,
      'path:a/{b}': /knows \*, \? and \*\* only/,
      'path:a/[b]': /knows \*, \? and \*\* only/,
      'path:!a': /knows \*, \? and \*\* only/,
      'path:a\\b': /knows \*, \? and \*\* only/,
      'path:a**b': /\*\* stands alone/,
      [`path:${'a/'.repeat(40)}b`]: /more than 32 segments/,
    }
    await allRefused(a, hostile, text => ['claim acquire', text])
    await allRefused(a, { '../x': /ticket id/, ':x': /not a resource/, 'a:': /no name/, 'env:a\nb': /U\+000A/ }, text => [
      'claim release',
      text,
    ])
    await a.refused('usage', 'claim acquire good', '../x')
    await a.refused('usage', 'why', '../x')
    await a.refused('usage', 'claim history', 'a:')
    await a.refused('usage', 'claim status --resource', 'a:')
    await a.refused('usage', 'exec ../x --', 'true')
    expect((await a.ok('claim list')).count).toBe(1)
    expect(Object.keys(repo.snapshot())).toEqual(files)
  })

  it('workspace: belongs to the session lock', async () => {
    const error = await repository().as('agent:a').refused('usage', 'claim acquire workspace:abc')
    expect(error.message).toContain('session lock')
    expect(error.hint).toContain('lh session-lock')
  })

  it('has one key for all its spellings, and twins that differ stay apart', async () => {
    const repo = repository()
    fs.mkdirSync(path.join(repo.dir, 'deep'))
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const taken: readonly (readonly [string, string])[] = [
      ['Fix-Login', 'ticket:fix-login'],
      ['ENV:Prod', 'env:Prod'],
      ['env:caf\u0065\u0301', 'env:caf\u00e9'],
      ['env:🚀', 'env:🚀'],
      ['env:%2e', 'env:%2e'],
      ['env:.', 'env:.'],
      ['env:..', 'env:..'],
      ['env:a:b', 'env:a:b'],
      ['branch:Work/X', 'branch:Work/X'],
      [`path:${repo.dir}/deep/./x//y`, 'path:deep/x/y'],
      ['path:docs/', 'path:docs/**'],
    ]
    for (const [text, key] of taken) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.acquire('', text)).resource).toBe(key)
    }
    // As Git and lh whoami show them.
    const { worktree_id: here } = await a.ok('whoami')
    await a.acquire(`worktree:${here.slice(3)}`)
    await b.refused('held', 'claim acquire', here)
    await b.refused('held', 'claim acquire', `worktree:${here}`)
    await b.refused('held', 'claim acquire', 'branch:refs/heads/Work/X')
    for (const text of ['ticket:FIX-LOGIN', 'env:caf\u00e9', 'Env:🚀', 'path:deep/z/../x/y', 'path:./docs/**']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await b.refused('held', 'claim acquire', text)
    }
    expect((await b.acquire('env:prod')).resource).toBe('env:prod')
    expect((await b.acquire('branch:work/x')).resource).toBe('branch:work/x')
  })

  it('folds case in branch: and path: where Git says that the file system does', async () => {
    const repo = repository()
    git(repo.dir, 'config', 'core.ignorecase', 'true')
    await repo.as('agent:a').ok('claim acquire branch:Work path:Src/Main.ts')
    await repo.as('agent:b').refused('held', 'claim acquire branch:work')
    await repo.as('agent:b').refused('held', 'claim acquire path:src/main.TS')
  })

  it('path: is one key by whatever way the shell came to the repository', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    const ways = folder()
    fs.mkdirSync(path.join(repo.dir, 'src'))
    fs.symlinkSync('src', path.join(repo.dir, 'inner'))
    fs.symlinkSync(repo.dir, path.join(ways, 'top'))
    fs.symlinkSync(path.join(repo.dir, 'src'), path.join(ways, 'part'))
    await a.acquire('', `path:${ways}/top/src/main.ts`)
    for (const text of [`${ways}/part/main.ts`, `${ways}/../${path.basename(ways)}/part/main.*`, `${ways}/top/src/`, `${ways}/top`]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await b.refused('held', 'claim acquire', `PATH:${text}`)).message).toContain('path:src/main.ts is held by agent:a')
    }
    // A link of the repository is a name of its own, however it is reached.
    expect((await b.acquire('', `path:${ways}/top/inner/main.ts`)).resource).toBe('path:inner/main.ts')
    for (const text of [`${ways}/main.ts`, `${ways}/*/main.ts`, `${ways}/none/main.ts`, '/']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await b.refused('usage', 'claim acquire', `path:${text}`)).message).toContain('is outside the repository')
    }
  })

  it('path: of another repository is outside', async () => {
    const error = await repository().as('agent:a').refused('usage', 'claim acquire', `path:${folder()}/x`)
    expect(error.message).toContain('is outside the repository')
  })
})

describe('a value', () => {
  it('that is no duration, token, reason, note, branch or op_id is refused', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.acquire('x')
    const noDuration = /--ttl: .* is no duration/
    const ttls = {
      '-1': noDuration,
      '1e9': noDuration,
      abc: noDuration,
      '0.5': noDuration,
      Infinity: noDuration,
      '10m x': noDuration,
      '': /--ttl is empty/,
      '１０': noDuration,
      '10 m': noDuration,
      '0x10': noDuration,
      m: noDuration,
      '31d': /a ttl of 2678400 s/,
      '200ms': /a ttl of 0.2 s/,
      '999999999d': /longer than a hundred years/,
    }
    await allRefused(a, ttls, text => ['claim acquire y', `--ttl=${text}`])
    await allRefused(a, { '-1': noDuration, '31d': /a ttl of/ }, text => ['claim renew x', `--ttl=${text}`])
    const noToken = /--token must be a positive whole number/
    await allRefused(
      a,
      {
        '0': noToken,
        '-1': noToken,
        '1.5': noToken,
        abc: noToken,
        '': /--token is empty/,
        '1e3': noToken,
        '99999999999999999999': noToken,
        ' 1': noToken,
      },
      text => ['claim renew x', `--token=${text}`],
    )
    await allRefused(a, { '0': noToken, x: noToken }, text => ['claim check x', `--token=${text}`])
    const long = 'r'.repeat(3000)
    await allRefused(
      a,
      { '': /--reason is empty/, '  ': /--reason is empty/, [long]: /--reason has at most 2048 bytes/, ['é'.repeat(1025)]: /2048/ },
      text => ['claim evict x', `--reason=${text}`],
    )
    await allRefused(a, { '': /--note is empty/, [long]: /--note has at most 2048 bytes/ }, text => ['claim renew x', `--note=${text}`])
    await allRefused(
      a,
      { '': /--branch is empty/, 'a b': /"a b" is not a branch name/, 'a..\nb': /branch name/, 'a~1': /branch name/ },
      text => ['claim acquire y', `--branch=${text}`],
    )
    await allRefused(
      a,
      {
        '': /--op-id is empty/,
        ' ': /--op-id is empty/,
        'a\nb': /--op-id has 1 to 128 printable characters/,
        ['o'.repeat(129)]: /--op-id/,
        é: /--op-id/,
      },
      text => ['claim acquire y', `--op-id=${text}`],
    )
    expect((await a.ok('claim list')).count).toBe(1)
  })

  it('at its largest is kept whole', async () => {
    const repo = repository()
    const reason = 'r'.repeat(2048)
    const lease = await repo.as('agent:a').acquire('x', '--reason', reason, '--op-id', 'o'.repeat(128), '--branch', 'b'.repeat(256))
    expect(lease.reason).toBe(reason)
    expect((await repo.as('agent:a').acquire(`env:${'x'.repeat(252)}`)).resource).toHaveLength(256)
  })
})

describe('other people’s words', () => {
  const forged = 'quiet"}\n{"schema_version":1,"seq":9,"op":"acquire","op_id":"x","resource":"ticket:forged"}\u2028\u2029\u001b[2J\u202e'

  it('cannot forge a record', async () => {
    const repo = repository()
    const a = repo.as('agent:a')
    await a.ok('claim acquire x --op-id real --reason', forged)
    await a.ok('claim renew x --note', forged)
    await a.ok('claim release x --reason', forged)
    const lines = repo.log().trimEnd().split('\n')
    expect(lines).toHaveLength(4)
    expect(repo.records().map(({ seq, op }) => [seq, op])).toEqual([
      [1, 'acquire'],
      [2, 'renew'],
      [3, 'release'],
    ])
    const history = await a.history()
    expect(history).toHaveLength(3)
    expect(history[0].reason).toBe(forged)
    expect((await a.ok('claim list')).count).toBe(0)
    expect((await a.acquire('y --op-id x')).resource).toBe('ticket:y')
  })

  it('cannot move the cursor, start a line or hide in a table', async () => {
    const repo = repository()
    const [a, b] = [repo.as('agent:a'), repo.as('agent:b')]
    await a.ok('claim acquire x --reason', forged)
    await a.ok('claim renew x --note', forged)
    const shown = [
      await b.run('claim list'),
      await b.run('claim history'),
      await b.run('why x'),
      await b.run('status'),
      await b.run('claim acquire x'),
      await b.run('claim evict x --reason', forged),
      await a.run('claim renew x'),
    ]
    for (const { stdout, stderr } of shown) {
      // oxlint-disable-next-line no-control-regex -- these are the ones meant
      expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u2028-\u202e]/)
      expect(stdout + stderr).not.toMatch(/^\{"schema_version"/m)
    }
    expect(shown[0]!.stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(shown[1]!.stdout.trimEnd().split('\n')).toHaveLength(2)
    expect(shown[1]!.stdout).toContain('\\u{a}')
    expect(shown[6]!.stderr).toContain('force-evict')
  })

  it('in a committed ticket cannot reach the terminal by what the doctor finds', async () => {
    const repo = repository()
    const directory = path.join(repo.dir, '.leasehold', 'tickets', '20260101-000000-evil')
    fs.mkdirSync(directory, { recursive: true })
    const fields = 'title: t\nstatus: open\nkind: task\npriority: P1\nlabels: []\nworkflow_state: ready\ncreated_at: 2026-01-01T00:00:00Z'
    const text = `---\nid: 20260101-000000-evil\nslug: evil\n${fields}\nupdated_at: 2026-01-01T00:00:00Z\ndepends_on: []\ngates: ["\\e[31m\\u202e"]\n---\n`
    fs.writeFileSync(path.join(directory, 'ticket.md'), text)
    for (const words of ['doctor', 'doctor --fix', 'ticket doctor', 'ticket show evil', 'ticket list']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { stdout, stderr } = await repo.as('agent:a').run(words)
      // oxlint-disable-next-line no-control-regex -- these are the ones meant
      expect(stdout + stderr, words).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u2028-\u202e]/)
      if (words.includes('doctor')) expect(stdout, words).toContain('\\u{1b}[31m\\u{202e}')
    }
  })

  it('in a configuration file of the repository cannot reach the terminal either', async () => {
    const repo = repository()
    fs.mkdirSync(path.join(repo.dir, '.leasehold'))
    for (const text of ['"\\e[2Jx": 1\n', 'ttl: "\\e[2J"\n', 'store: "etcd:\\e[2J"\n', 'store: "\\e[2J"\n']) {
      fs.writeFileSync(path.join(repo.dir, '.leasehold', 'config.yaml'), text)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { code, stderr } = await repo.as('agent:a').run('claim list')
      expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('config.yaml') })
      // oxlint-disable-next-line no-control-regex -- these are the ones meant
      expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
    }
  })
})

it('a lease id is found in any case, and a ticket that looks like one is written with its kind', async () => {
  const repo = repository()
  const a = repo.as('agent:a')
  const { lease_id } = await a.acquire('x')
  expect((await a.ok('claim renew', lease_id.toLowerCase())).lease.lease_id).toBe(lease_id)
  await a.acquire(`ticket:${lease_id}`)
  const names = (await a.ok('claim list')).leases.map((lease: Doc) => lease.resource)
  expect(names).toEqual([`ticket:${lease_id.toLowerCase()}`, 'ticket:x'])
})
