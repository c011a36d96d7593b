import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Agent, type Doc, executable, exits, failure, git, openToAll, Running, sleep } from '../support/cli.ts'
import { commit } from '../support/tickets.ts'
import { requires } from '../support/skip.ts'
import { branches, contentOf, known, leftovers, restored, room, salvages, ticketId } from '../support/worktrees.ts'

// What may be removed, by whom, and that nothing is lost with it.

const needsRoot = requires(process.platform === 'linux' && process.getuid?.() === 0, 'needs root, to act as another user')

/** A worktree for the ticket. */
async function made(agent: Agent): Promise<{ readonly place: string; readonly id: string }> {
  const { worktree } = await agent.ok('worktree add fix-login')
  return { place: worktree.path, id: worktree.worktree_id }
}

/** Types the commands of a hint into a shell, one after the other: what begins with `lh` or in parentheses, without what is to be seen only. */
function typed(agent: Agent, hint: string): void {
  const commands = hint.split('; ').flatMap(part => /(?:^|: )(\(cd .*|lh (?!why).*)$/.exec(part)?.[1] ?? [])
  expect(commands).not.toEqual([])
  const lh = `lh() { '${process.execPath}' '${executable}' "$@"; }`
  const { status, stderr } = spawnSync('sh', ['-ec', [lh, ...commands].join('\n')], {
    cwd: agent.cwd,
    env: { ...process.env, ...agent.env },
    encoding: 'utf8',
  })
  expect({ status, stderr, commands }).toMatchObject({ status: 0 })
}

describe('something in the place of a file of ours', () => {
  it('is named, with what to do, and nothing is changed', async () => {
    const { repo, a } = room()
    const { place } = await made(a)
    const own = path.join(git(place, 'rev-parse', '--absolute-git-dir').trim(), 'leasehold')
    const remove = 'worktree remove fix-login --salvage'
    for (const [file, words] of [
      [path.join(own, 'removing.json'), remove],
      [path.join(own, 'removing.lock'), remove],
      [path.join(own, 'finishing.lock'), 'work --finish'],
      [path.join(repo.dir, '.git', 'leasehold', 'worktrees.lock'), 'worktree add other'],
    ] as const) {
      for (const put of [() => fs.mkdirSync(path.join(file, 'inside'), { recursive: true }), () => fs.symlinkSync('/nowhere', file)]) {
        fs.rmSync(file, { recursive: true, force: true })
        put()
        const before = branches(repo.dir)
        // A link in the place of what is replaced as a whole is replaced.
        if (file.endsWith('.json') && fs.lstatSync(file).isSymbolicLink()) continue
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const result = await a.in(words === 'work --finish' ? place : repo.dir).run(`--json ${words}`)
        expect(failure({ ...result, stderr: '' }, 'unavailable'), file).toMatchObject({
          message: `${file} is a directory or a link, where a file of Leasehold belongs`,
          hint: expect.stringContaining('move it away'),
          details: { outcome: 'nothing_changed' },
        })
        expect(fs.existsSync(place)).toBe(true)
        expect(branches(repo.dir)).toEqual(before)
      }
      fs.rmSync(file, { recursive: true, force: true })
    }
    await a.ok(remove)
    expect(fs.existsSync(place)).toBe(false)
  })
})

describe('worktree remove', () => {
  it('takes worktree, branch and leases of a merged one, whoever does it from wherever', async () => {
    const { repo, home, a } = room()
    const { place } = await made(a)
    await a.in(place).ok('claim acquire fix-login')
    commit(place, 'work')
    git(repo.dir, 'merge', '-q', '--ff-only', 'agents/fix-login')
    const { worktree } = await a.ok('worktree remove fix-login')
    expect(worktree).toMatchObject({
      path: place,
      ticket: ticketId,
      branch: 'agents/fix-login',
      branch_deleted: true,
      salvage: null,
      left_out: [],
    })
    expect(worktree.released).toHaveLength(3)
    expect(fs.readdirSync(home)).toEqual([])
    expect(branches(repo.dir)).toEqual(['main'])
    expect(known(repo.dir)).toEqual([])
    expect(leftovers(repo.dir)).toEqual([])
    expect((await a.ok('claim list')).count).toBe(0)
    expect(git(repo.dir, 'worktree', 'list').split('\n')).toHaveLength(1)
    // The ticket is as claimable as before.
    await a.acquire('fix-login')
  })

  it('goes by the ticket’s lease: its holder may, another may not, whoever lost it is told so', async () => {
    const { repo, a, b } = room()
    const { place } = await made(a)
    const worker = a.in(place)
    await worker.ok('claim acquire fix-login')
    const stranger = await b.refused('not_owner', 'worktree remove fix-login --salvage')
    expect(stranger.message).toContain('agent:a')
    await b.in(place).refused('not_owner', 'worktree remove', place)
    await b.ok('claim evict fix-login --reason', 'silent')
    for (const agent of [worker, a])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await agent.refused('superseded', 'worktree remove fix-login --salvage')).hint).not.toBe('')
    await b.in(place).ok('claim acquire fix-login')
    await a.refused('not_owner', 'worktree remove fix-login')
    expect(fs.existsSync(path.join(place, 'file'))).toBe(true)
    await b.ok('worktree remove fix-login')
    expect(known(repo.dir)).toEqual([])
    expect((await b.ok('claim list')).count).toBe(0)
  })

  it('tells whoever lost the lease what gets past that, as it can be typed where they stand', async () => {
    const { repo, home, a, b } = room()
    const { place } = await made(a)
    await a.in(place).ok('claim acquire fix-login')
    await b.ok('claim evict fix-login --reason', 'silent')
    const remove = 'worktree remove fix-login'
    const lost = await a.refused('superseded', remove)
    expect(lost.hint).toBe(`to take it again: (cd ${place} && lh claim acquire ticket:${ticketId}); then remove it`)
    expect((await a.in(place).refused('superseded', remove)).hint).toBe(
      `to take it again: lh claim acquire ticket:${ticketId}; then remove it`,
    )
    // Taken from where they stand, it is not the worktree's: they are told so from here, and from a third place.
    await a.ok('claim acquire fix-login')
    const release = `lh claim release ticket:${ticketId}`
    const there = `; take it there: (cd ${place} && lh claim acquire ticket:${ticketId}); then remove it`
    const here = await a.refused('superseded', remove)
    expect(here.hint).toBe(`you hold it, but not there; give it back: ${release}${there}`)
    git(repo.dir, 'worktree', 'add', '-q', '--detach', path.join(home, 'third'))
    const third = await a.in(path.join(home, 'third')).refused('superseded', remove)
    expect(third.hint).toBe(`you hold it, but not there; give it back: (cd ${repo.dir} && ${release})${there}`)
    // Typed as they are said.
    typed(a.in(path.join(home, 'third')), third.hint)
    expect((await a.ok(remove)).worktree.released).toHaveLength(3)
    expect(known(repo.dir)).toEqual(['third'])
  })

  it('lets whoever lost it wait in the worktree for the other', async () => {
    const { a, b } = room()
    const { place } = await made(a)
    await a.in(place).ok('claim acquire fix-login')
    await b.ok('claim evict fix-login --reason', 'silent')
    await b.acquire('fix-login')
    const { hint } = await a.refused('superseded', 'worktree remove fix-login')
    expect(hint).toContain(`; to wait for it: (cd ${place} && lh claim acquire ticket:${ticketId} --wait)`)
    await b.ok('claim release fix-login')
    typed(a, hint)
    await a.ok('worktree remove fix-login')
  })

  it('is not kept from whoever lost it where nobody can take it again: the ticket is done, or the directory is gone', async () => {
    const { repo, a, b } = room()
    const first = await made(a)
    await a.in(first.place).ok('claim acquire fix-login')
    await b.ok('claim evict fix-login --reason', 'silent')
    fs.rmSync(first.place, { recursive: true })
    expect((await a.ok('worktree remove fix-login')).worktree.released).toEqual([])
    const { place } = await made(a)
    await a.in(place).ok('claim acquire fix-login')
    await b.ok('claim evict fix-login --reason', 'silent')
    expect((await b.run('ticket start fix-login')).code).toBe(0)
    await b.ok('ticket done fix-login')
    const { hint } = await a.refused('superseded', 'worktree remove fix-login')
    expect(hint).toMatch(/lh claim acquire worktree:[0-9a-f]+ branch:agents\/fix-login\); then remove it$/)
    typed(a, hint)
    await a.ok('worktree remove fix-login')
    expect(known(repo.dir)).toEqual([])
  })

  it('goes by what is shown: a token or lease that is not the present one is refused, also for its holder', async () => {
    const { repo, a, b } = room()
    const { place } = await made(a)
    await a.in(place).ok('claim acquire fix-login')
    await a.in(place).ok('claim evict fix-login --reason', 'again')
    await a.in(place).ok('claim acquire fix-login')
    const { lease_id, token } = await a.lease(`ticket:${ticketId}`)
    for (const [code, how, env] of [
      ['superseded', '--token 1', {}],
      ['superseded', '--salvage --token 1', {}],
      ['unavailable', '--token 99', {}],
      ['superseded', '--lease 01J0000000000000000000000A', {}],
      ['superseded', `--lease ${lease_id} --token 1`, {}],
      ['superseded', '', { LEASEHOLD_TOKEN: '1' }],
      ['superseded', '', { LEASEHOLD_TOKEN: '1', LEASEHOLD_RESOURCES: `ticket:${ticketId}` }],
      ['usage', '--token one', {}],
      ['usage', '--lease one', {}],
      ['usage', '--lease=', {}],
    ] as const)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      for (const agent of [a, a.in(place)]) await agent.with(env).refused(code, `worktree remove fix-login ${how}`)
    expect(fs.existsSync(path.join(place, 'file'))).toBe(true)
    await b.refused('not_owner', `worktree remove fix-login --token ${token}`)
    // Both together are enough for anybody.
    expect((await b.ok(`worktree remove fix-login --token ${token} --lease ${lease_id}`)).worktree.released).toHaveLength(3)
    expect(known(repo.dir)).toEqual([])
    expect((await a.ok('claim list')).count).toBe(0)
  })

  it('takes the present token, another key of the same ownership, and the token of its own release', async () => {
    const { a } = room()
    const { place } = await made(a)
    await a.in(place).ok('claim acquire fix-login')
    await a.in(place).ok('claim acquire port:80')
    const { token } = await a.lease(`ticket:${ticketId}`)
    await a.in(place).ok('claim release fix-login')
    await a.refused('superseded', 'worktree remove fix-login --lease 01J0000000000000000000000A')
    expect((await a.ok(`worktree remove fix-login --token ${token}`)).worktree.released).toEqual(['port:80'])
    const again = await made(a)
    await a.in(again.place).ok('claim acquire fix-login')
    const worktree = (await a.ok('claim list')).leases.find(({ resource }: Doc) => resource.startsWith('worktree:'))
    expect((await a.ok(`worktree remove fix-login --lease ${worktree.lease_id}`)).worktree.released).toHaveLength(3)
    const third = await made(a)
    await a.in(third.place).ok('claim acquire fix-login')
    const last = await a.lease(`ticket:${ticketId}`)
    expect((await a.ok(`worktree remove fix-login --token ${last.token}`)).worktree.released).toHaveLength(3)
    await made(a)
    // Nobody holds it: whoever shows something lost it.
    await a.refused('superseded', 'worktree remove fix-login --token 1')
  })

  it('refuses one in which another session of the same agent holds something, and one that is reserved by its resource', async () => {
    const { a, b } = room()
    const { place, id } = await made(a)
    await a.in(place).with({ LEASEHOLD_SESSION_ID: 'one' }).ok('claim acquire port:80')
    const [code] = [(await a.with({ LEASEHOLD_SESSION_ID: 'two' }).run('worktree remove fix-login')).code]
    expect([exits.not_owner, exits.held]).toContain(code)
    await a.in(place).with({ LEASEHOLD_SESSION_ID: 'one' }).ok('claim release port:80')
    await b.acquire(`worktree:${id.slice(3)}`)
    await a.refused('not_owner', 'worktree remove fix-login')
    await b.ok(`claim release worktree:${id.slice(3)}`)
    await a.ok('worktree remove fix-login')
  })

  it('takes what has expired for nobody’s', async () => {
    const { a, b } = room()
    const { place } = await made(a)
    await a.in(place).ok('claim acquire fix-login --ttl 1s')
    await b.refused('not_owner', 'worktree remove fix-login')
    await sleep(1200)
    await b.ok('worktree remove fix-login')
    expect(fs.existsSync(place)).toBe(false)
  })

  it('never takes the main worktree, one that somebody locked, or one that another lies in', async () => {
    const { repo, home, a } = room()
    const { place } = await made(a)
    expect((await a.refused('policy', 'worktree remove .')).message).toContain('main worktree')
    git(repo.dir, 'worktree', 'lock', '--reason', 'on a stick', place)
    expect((await a.refused('policy', 'worktree remove fix-login --salvage')).message).toContain('on a stick')
    git(repo.dir, 'worktree', 'unlock', place)
    git(repo.dir, 'worktree', 'add', '-q', '--detach', path.join(place, 'inner'))
    expect((await a.refused('policy', 'worktree remove fix-login --salvage')).message).toContain('inner')
    expect(fs.readdirSync(home)).toEqual(['fix-login'])
    expect(salvages(repo.dir)).toEqual([])
  })

  it('refuses what is not committed or not merged, naming it, and changes nothing', async () => {
    const { repo, a } = room()
    const { place } = await made(a)
    fs.writeFileSync(path.join(place, 'new file'), 'x')
    fs.writeFileSync(path.join(place, 'ignored'), 'x')
    const dirty = await a.refused('policy', 'worktree remove fix-login')
    expect(dirty).toMatchObject({
      message: expect.stringMatching(/1 changed or untracked file \(new file\).*ignored: ignored/),
      hint: expect.stringContaining('--salvage'),
      details: { dirty: ['new file'], unmerged: 0, ignored: ['ignored'] },
    })
    git(place, 'add', 'new file')
    git(place, 'commit', '-q', '-m', 'one')
    const unmerged = await a.refused('policy', 'worktree remove fix-login')
    expect(unmerged).toMatchObject({
      message: expect.stringContaining('1 commit of agents/fix-login'),
      details: { dirty: [], unmerged: 1 },
    })
    git(place, 'update-index', '--assume-unchanged', 'file')
    git(repo.dir, 'merge', '-q', 'agents/fix-login')
    fs.writeFileSync(path.join(place, 'file'), 'hidden from Git\n')
    expect((await a.refused('policy', 'worktree remove fix-login')).details.dirty).toEqual(['file'])
    expect(contentOf(place)).toMatchObject({ file: '- hidden from Git\n', 'new file': '- x', ignored: '- x' })
    expect(salvages(repo.dir)).toEqual([])
    expect(leftovers(repo.dir)).toEqual([])
    git(place, 'update-index', '--no-assume-unchanged', 'file')
    git(place, 'checkout', '-q', 'file')
    // Ignored files go with it, and it says so.
    expect((await a.ok('worktree remove fix-login')).worktree.left_out).toEqual(['ignored'])
  })

  it('counts a commit as merged on any other branch, tag or remote; the branch stays unless merged', async () => {
    const { repo, a } = room()
    const { place } = await made(a)
    git(place, 'commit', '-q', '--allow-empty', '-m', 'one')
    git(repo.dir, 'branch', 'keeps', 'agents/fix-login')
    expect((await a.ok('worktree remove fix-login')).worktree.branch_deleted).toBe(true)
    const { worktree } = await a.ok('worktree add spike')
    git(worktree.path, 'commit', '-q', '--allow-empty', '-m', 'two')
    const saved = await a.ok('worktree remove spike --salvage')
    expect(saved.worktree).toMatchObject({
      branch_deleted: false,
      salvage: expect.stringMatching(/^refs\/leasehold\/salvage\/spike\/\d{8}T\d{6}Z$/),
    })
    expect(branches(repo.dir)).toEqual(['agents/spike', 'keeps', 'main'])
    const again = await a.ok('worktree add spike')
    expect(again.worktree.ahead).toBe(1)
    expect((await a.ok('worktree remove spike --salvage --delete-branch')).worktree.branch_deleted).toBe(true)
    expect(branches(repo.dir)).toEqual(['keeps', 'main'])
    await a.refused('usage', 'worktree remove spike --delete-branch')
    // A branch that a person had before stays, merged or not.
    git(repo.dir, 'branch', 'release')
    await a.ok('worktree add other --branch release')
    expect((await a.ok('worktree remove other')).worktree.branch_deleted).toBe(false)
    expect(branches(repo.dir)).toEqual(['keeps', 'main', 'release'])
  })

  it('counts another name of its branch as none: that leads nowhere without it', async () => {
    const { repo, a } = room()
    const place = (await a.ok('worktree add spike')).worktree.path
    git(repo.dir, 'symbolic-ref', 'refs/heads/ünother/name', 'refs/heads/agents/spike')
    fs.writeFileSync(path.join(place, 'work'), 'x')
    const made = commit(place)
    expect((await a.refused('policy', 'worktree remove spike')).message).toContain('1 commit of agents/spike that is on no other branch')
    await a.ok('worktree remove spike --salvage')
    expect(git(repo.dir, 'rev-parse', 'ünother/name')).toBe(made)
  })

  it('of a detached HEAD keeps commits that no branch has', async () => {
    const { repo, home, a } = room()
    const place = path.join(home, 'by hand')
    git(repo.dir, 'worktree', 'add', '-q', '--detach', place)
    git(place, 'commit', '-q', '--allow-empty', '-m', 'only here')
    const head = git(place, 'rev-parse', 'HEAD')
    expect((await a.refused('policy', 'worktree remove', 'by hand')).message).toContain('1 commit of no branch')
    const { salvage } = (await a.ok('worktree remove --salvage', 'by hand')).worktree
    expect(salvage).toContain('/by-hand/')
    expect(git(repo.dir, 'rev-parse', `${salvage}^1`)).toBe(head)
  })

  it('can be removed from within, and a directory that is gone is tidied up', async () => {
    const { repo, a } = room()
    const { place } = await made(a)
    await a.in(place).ok('worktree remove', place)
    await a.ok('worktree add fix-login')
    fs.rmSync(place, { recursive: true })
    expect((await a.refused('policy', 'worktree add fix-login')).message).toContain('is gone')
    expect((await a.ok('worktree list')).worktrees[1]).toMatchObject({ present: false, prunable: expect.any(String) })
    await a.ok('worktree remove fix-login')
    expect(known(repo.dir)).toEqual([])
    expect((await a.ok('worktree add fix-login')).already).toBeUndefined()
  })

  it('puts it back when something changed between looking and removing', { timeout: 60_000 }, async () => {
    const { repo, a } = room()
    const { place } = await made(a)
    repo.busy = true
    // Its own filter writes into the worktree while everything is being saved.
    fs.writeFileSync(path.join(place, '.gitattributes'), 'late filter=late\n')
    fs.writeFileSync(path.join(place, 'late'), 'x')
    git(repo.dir, 'config', 'filter.late.clean', `date +%N >> '${path.join(place, 'sneaked in')}'; cat`)
    const error = await a.run('--json worktree remove fix-login --salvage')
    expect([exits.policy, exits.unavailable]).toContain(error.code)
    expect(contentOf(place)).toMatchObject({ late: '- x', file: '- one\n' })
    expect(Object.keys(contentOf(place))).toContain('sneaked in')
    expect(git(place, 'status', '--porcelain')).toContain('sneaked in')
    git(repo.dir, 'config', 'filter.late.clean', 'cat')
    const { salvage } = (await a.ok('worktree remove fix-login --salvage')).worktree
    expect(Object.keys(restored(repo.dir, salvage))).toContain('sneaked in')
  })

  it('stops when the lease is lost while everything is being saved', { timeout: 60_000 }, async () => {
    const { repo, a } = room()
    const { place } = await made(a)
    repo.busy = true
    await a.in(place).ok('claim acquire fix-login')
    fs.writeFileSync(path.join(place, '.gitattributes'), 'late filter=late\n')
    fs.writeFileSync(path.join(place, 'late'), 'x')
    const lh = `'${process.execPath}' '${executable}' --repo '${repo.dir}' --agent agent:b`
    git(
      repo.dir,
      'config',
      'filter.late.clean',
      `${lh} claim evict fix-login --reason late >/dev/null 2>&1; ${lh} claim acquire fix-login >/dev/null; cat`,
    )
    const before = contentOf(place)
    const error = await a.refused('superseded', 'worktree remove fix-login --salvage')
    expect(error.message).toContain('no longer current')
    expect(contentOf(place)).toEqual(before)
    expect(git(place, 'status', '--porcelain')).toContain('late')
    expect(known(repo.dir)).toEqual(['fix-login'])
    expect((await a.lease(`ticket:${ticketId}`)).holder.agent_id).toBe('agent:b')
  })

  needsRoot.it('says what to open when it may not be written, and leaves all as it was', async () => {
    const { repo, home, a } = room()
    const { place } = await made(a)
    fs.writeFileSync(path.join(place, 'new'), 'x')
    const parent = path.dirname(repo.dir)
    const own = (directory: string): void => {
      for (const name of fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }))
        fs.lchownSync(path.join(directory, name), 65_534, 65_534)
      fs.chownSync(directory, 65_534, 65_534)
    }
    own(repo.dir)
    own(place)
    openToAll(parent)
    const before = contentOf(place)
    const as = (words: string): Promise<{ code: number | null; stdout: string }> =>
      new Running(process.execPath, [executable, '--json', ...words.split(' ')], {
        cwd: repo.dir,
        env: { ...process.env, HOME: parent, LEASEHOLD_AGENT_ID: 'agent:a' },
        uid: 65_534,
      }).ended
    const removed = await as('worktree remove fix-login --salvage')
    expect(removed.code, removed.stdout).toBe(exits.unavailable)
    expect(JSON.parse(removed.stdout).error).toMatchObject({
      message: expect.stringContaining('cannot be removed'),
      hint: expect.stringContaining(home),
    })
    const added = await as('worktree add --path ../no/way spike')
    expect(added.code, added.stdout).toBe(exits.unavailable)
    expect(JSON.parse(added.stdout).error.message).toContain(path.join(parent, 'no'))
    expect(contentOf(place)).toEqual(before)
    fs.chownSync(home, 65_534, 65_534)
    const done = await as('worktree remove fix-login --salvage')
    expect(done.code, done.stdout).toBe(0)
  })
})

describe('worktree prune', () => {
  it('says what it would do; with --yes removes what we made, nobody holds and loses nothing', async () => {
    const { repo, home, a, b } = room()
    for (const name of ['clean', 'dirty', 'held', 'gone'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.ok(`worktree add ${name}`)
    const place = (name: string): string => path.join(home, name)
    git(repo.dir, 'worktree', 'add', '-q', '--detach', place('by hand'))
    fs.writeFileSync(path.join(place('dirty'), 'new'), 'x')
    await b.in(place('held')).acquire('port:1')
    fs.rmSync(place('gone'), { recursive: true })
    const dry = await a.ok('worktree prune')
    expect(dry).toMatchObject({ dry_run: true, count: 2 })
    expect(dry.worktrees.map((row: Doc) => row.path)).toEqual([place('clean'), place('gone')])
    expect(Object.fromEntries(dry.kept.map((row: Doc) => [path.basename(row.path), row.why]))).toEqual({
      dirty: expect.stringContaining('1 changed or untracked'),
      held: 'it is held',
    })
    expect(fs.existsSync(place('clean'))).toBe(true)
    expect(await a.ok('worktree prune --yes')).toMatchObject({ dry_run: false, count: 2 })
    expect(fs.readdirSync(home).toSorted()).toEqual(['by hand', 'dirty', 'held'])
    expect(await a.ok('worktree prune --yes --salvage')).toMatchObject({
      count: 1,
      worktrees: [{ salvage: expect.stringContaining('/dirty/') }],
    })
    expect(fs.readdirSync(home).toSorted()).toEqual(['by hand', 'held'])
    expect((await a.ok('worktree prune')).count).toBe(0)
  })

  it('keeps what may be on a disk that is not mounted: the directory above is missing as well', async () => {
    const { repo, home, a } = room()
    const place = (await a.ok('worktree add spike')).worktree.path
    fs.writeFileSync(path.join(place, 'staged'), 'x')
    fs.renameSync(home, `${home}.unmounted`)
    for (const how of ['prune', 'prune --yes --salvage']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { count, kept } = await a.ok(`worktree ${how}`)
      expect([count, kept[0].why]).toEqual([0, expect.stringMatching(/missing as well.*not mounted.*lh worktree remove/)])
    }
    fs.renameSync(`${home}.unmounted`, home)
    expect(git(place, 'status', '--porcelain')).toBe('?? staged')
    // Gone for good: it is said so.
    fs.rmSync(home, { recursive: true })
    await a.ok('worktree remove', place)
    expect(known(repo.dir)).toEqual([])
  })

  it('corrects a lock of ours that a lease has left, and one that is missing; nobody else’s', async () => {
    const { repo, a } = room()
    const { place } = await made(a)
    const other = (await a.ok('worktree add other')).worktree.path
    fs.writeFileSync(path.join(other, 'dirty'), 'so that it stays')
    const lockOf = (name: string): string => path.join(repo.dir, '.git', 'worktrees', name, 'locked')
    fs.writeFileSync(lockOf('other'), 'leasehold: agent:x holds ticket:gone\n')
    await a.in(place).ok('claim acquire fix-login')
    fs.rmSync(lockOf('fix-login'), { force: true })
    expect((await a.ok('worktree prune')).marks).toEqual([place, other])
    const { marks, kept } = await a.ok('worktree prune --yes')
    expect(kept).toMatchObject([{ path: place, why: 'it is held' }, { path: other }])
    expect(marks).toHaveLength(2)
    expect(fs.existsSync(lockOf('other'))).toBe(false)
    expect(fs.readFileSync(lockOf('fix-login'), 'utf8')).toBe(`leasehold: agent:a holds ticket:${ticketId}\n`)
    expect((await a.ok('worktree prune --yes')).marks).toEqual([])
    await a.in(place).ok('claim release fix-login')
    await a.ok('worktree remove fix-login')
  })
})
