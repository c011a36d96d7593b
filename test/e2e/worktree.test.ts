import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { type Doc, folder, git, parse, Repo, Running, until } from '../support/cli.ts'
import { commit, putTicket } from '../support/tickets.ts'
import { branches, known, leftovers, room, type Room, ticketId as id } from '../support/worktrees.ts'

// Worktrees as agents make, see and remove them.

/** Nothing of an add is left. */
function expectNothing({ repo, home }: Room): void {
  expect(branches(repo.dir)).toEqual(['main'])
  expect(known(repo.dir)).toEqual([])
  expect(leftovers(repo.dir)).toEqual([])
  expect(fs.existsSync(home)).toBe(false)
}

describe('worktree add', () => {
  it('tells that a ticket is not committed, and what lets its work be merged', async () => {
    const { repo, home, a } = room()
    git(repo.dir, 'config', 'user.name', 'ann')
    git(repo.dir, 'config', 'user.email', 'ann@example.org')
    const { id: late } = (await a.ok('ticket create --title Late')).ticket
    await a.ok('ticket ready late')
    const { stdout, stderr } = await a.run('worktree add late')
    const place = path.join(home, 'late')
    expect(stdout).toBe(`${place}\n`)
    expect(stderr).toContain(`${late} is not committed on main`)
    expect((await a.run('worktree add late')).stderr).not.toContain('not committed')
    execFileSync('sh', ['-c', /before anything does: (.*)/.exec(stderr)![1]!], { cwd: repo.dir, stdio: 'ignore' })
    const there = a.in(place)
    await there.ok('ticket start late')
    fs.writeFileSync(path.join(place, 'work'), 'done\n')
    commit(place, 'work')
    await there.ok('work --finish')
    expect(fs.existsSync(path.join(repo.dir, 'work'))).toBe(true)
    // A launch makes its worktree in the same way.
    putTicket(repo.dir, '20260608-101011-later')
    const launched = await a.run('launch later --role dev --worktree --ready alive=100ms --', 'true')
    expect(launched.stderr).toContain('20260608-101011-later is not committed on main')
  })

  it('makes one for a ticket, beside the repository, with its branch, and says where; once', async () => {
    const { repo, home, a, b } = room()
    const place = path.join(home, 'fix-login')
    const made = await a.run('worktree add fix-lo')
    expect(made).toMatchObject({ code: 0, stdout: `${place}\n`, stderr: expect.stringContaining('agents/fix-login') })
    expect(git(place, 'status', '--porcelain')).toBe('')
    expect(git(place, 'symbolic-ref', '--short', 'HEAD')).toBe('agents/fix-login')
    const record = JSON.parse(fs.readFileSync(path.join(repo.dir, '.git/worktrees/fix-login/leasehold/worktree.json'), 'utf8'))
    expect(record).toMatchObject({ root: place, ticket: id, branch: 'agents/fix-login', base: 'main' })
    // Whoever asks again is told; nothing new is made.
    expect(await b.run(`worktree add ${id} --quiet`)).toMatchObject({ code: 0, stdout: `${place}\n`, stderr: '' })
    expect(await a.ok('worktree add fix-login')).toMatchObject({
      already: true,
      worktree: {
        worktree_id: record.worktree_id,
        path: place,
        branch: 'agents/fix-login',
        ticket: id,
        dirty: false,
        base: 'main',
        holder: null,
      },
    })
    expect((await a.refused('policy', 'worktree add fix-login --path ../elsewhere')).message).toContain(place)
    expect(branches(repo.dir)).toEqual(['agents/fix-login', 'main'])
    expect(leftovers(repo.dir)).toEqual([])
    expect(made.stderr).not.toContain('not committed')
    // In it, a claim of the ticket is one of all three.
    const worker = a.in(place)
    const { leases } = await worker.ok('claim acquire fix-login')
    expect(leases.map(({ resource }: Doc) => resource).toSorted()).toEqual([
      'branch:agents/fix-login',
      `ticket:${id}`,
      `worktree:${record.worktree_id.slice(3)}`,
    ])
  })

  it('makes one under a free name, from a base that is named', async () => {
    const { repo, home, a } = room()
    git(repo.dir, 'branch', 'release/1.0')
    commit(repo.dir, 'later')
    const { worktree } = await a.ok('worktree add spike_1.x --base release/1.0')
    expect(worktree).toMatchObject({
      path: path.join(home, 'spike_1.x'),
      ticket: null,
      base: 'release/1.0',
      ahead: 0,
      behind: 1,
      branch: 'agents/spike_1.x',
    })
    expect((await a.ok('worktree add spike_1.x')).already).toBe(true)
    expect((await a.ok('worktree add spike_1.x --base release/1.0')).already).toBe(true)
    expect((await a.refused('policy', 'worktree add spike_1.x --base main')).message).toContain('whose work goes to release/1.0')
    // A commit is not noted; what was made from it has it.
    const first = git(repo.dir, 'rev-parse', 'release/1.0')
    await a.ok(`worktree add plain --base ${first}`)
    expect((await a.ok(`worktree add plain --base ${first}`)).already).toBe(true)
    await a.refused('policy', `worktree add plain --base ${git(repo.dir, 'rev-parse', 'main')}`)
    for (const name of ['../x', '-x', 'a/b', 'a b', 'x.lock', 'a..b', '.x'])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.run(`worktree add --`, name)).code, name).toBe(2)
    await a.refused('not_found', 'worktree add ticket:nothing')
    await a.refused('usage', 'worktree add other --base nowhere')
  })

  it('refuses a ticket that somebody else holds, one that is over, and what is in the way; and leaves nothing', async () => {
    const all = room()
    const { repo, home, a, b } = all
    await b.acquire('fix-login')
    const held = await a.refused('held', 'worktree add fix-login')
    expect(held).toMatchObject({ message: expect.stringContaining('agent:b'), holder: { agent_id: 'agent:b' } })
    // Its holder may go on in a worktree.
    await b.ok('claim release fix-login')
    putTicket(repo.dir, '20260607-220226-over', { state: 'done' })
    await a.refused('policy', 'worktree add over')
    fs.mkdirSync(path.join(home, 'taken'), { recursive: true })
    fs.writeFileSync(path.join(home, 'taken', 'mine'), 'mine')
    expect((await a.refused('policy', 'worktree add taken')).message).toContain('exists already')
    expect(fs.readFileSync(path.join(home, 'taken', 'mine'), 'utf8')).toBe('mine')
    fs.rmSync(home, { recursive: true })
    expect((await a.refused('policy', 'worktree add x --branch main')).message).toContain(repo.dir)
    expect((await a.refused('policy', 'worktree add x --path inside')).hint).toContain('worktree.directory')
    expect((await a.refused('policy', 'worktree add x --path .git/inside')).message).toContain('inside')
    await a.refused('usage', 'worktree add x --branch', 'a b')
    await b.acquire('branch:agents/x')
    expect((await a.refused('held', 'worktree add x')).message).toContain('branch:agents/x')
    expectNothing(all)
  })

  it('refuses a branch that Git cannot make beside another one, below or above it, naming both', async () => {
    const all = room()
    const { repo, a } = all
    git(repo.dir, 'branch', 'agents')
    expect(await a.refused('policy', 'worktree add x')).toMatchObject({
      message: 'there cannot be a branch agents/x below the branch agents',
      hint: expect.stringMatching(/--branch <other>.*worktree\.branch_prefix/),
    })
    git(repo.dir, 'branch', '-m', 'agents', 'mine/one')
    expect((await a.refused('policy', 'worktree add x --branch mine')).message).toContain('branch mine above the branch mine/one')
    git(repo.dir, 'branch', '-D', 'mine/one')
    expectNothing(all)
    await a.ok('worktree add x --branch mine')
  })

  it('uses a branch that exists, unless it is checked out elsewhere; a failure keeps it', async () => {
    const { repo, home, a } = room()
    git(repo.dir, 'branch', 'mine')
    const place = path.join(home, 'one')
    await a.ok('worktree add one --branch mine')
    expect(git(place, 'symbolic-ref', '--short', 'HEAD')).toBe('mine')
    expect((await a.refused('policy', 'worktree add two --branch mine')).message).toContain(place)
    expect(branches(repo.dir)).toEqual(['main', 'mine'])
    git(repo.dir, 'branch', 'old')
    commit(repo.dir, 'later')
    const error = await a.refused('policy', 'worktree add three --branch old --base main')
    expect(error.message).toContain('does not have what is on main')
    expect(fs.existsSync(path.join(home, 'three'))).toBe(false)
    git(repo.dir, 'branch', '-f', 'old', 'main')
    expect((await a.ok('worktree add three --branch old --base main')).worktree).toMatchObject({ base: 'main', behind: 0 })
  })

  it('says what a worktree starts from: the base, or a branch that was there', async () => {
    const { repo, a } = room()
    git(repo.dir, 'branch', 'agents/old')
    git(repo.dir, 'switch', '-q', 'agents/old')
    const head = commit(repo.dir, 'of its own')
    git(repo.dir, 'switch', '-q', 'main')
    commit(repo.dir, 'later')
    const old = await a.run('worktree add old')
    expect(old.stderr).toMatch(/^made wt:[0-9a-f]+ on agents\/old, which was there before; its work goes to main\n$/)
    const { worktree, already } = await a.ok('worktree add old')
    expect([already, worktree]).toEqual([true, expect.objectContaining({ head, base: 'main', ahead: 1, behind: 1 })])
    expect((await a.run('worktree add old')).stderr).toMatch(/^it is there already: wt:[0-9a-f]+ on agents\/old; its work goes to main\n$/)
    expect((await a.run('worktree add fresh')).stderr).toMatch(/^made wt:[0-9a-f]+ on agents\/fresh, from main\n$/)
  })

  it('says what is missing where the base branch is not there', async () => {
    const all = room()
    await all.a.ok('config set base_branch nowhere')
    for (const words of ['worktree add fix-login', 'work fix-login', 'doctor']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      const { code, stdout } = await all.a.run(`--json ${words}`)
      const { error, findings } = parse(stdout)
      expect([words, code, error.code]).toEqual([words, 2, 'usage'])
      expect(error.message).toMatch(/base_branch is "nowhere" \(.+\), and there is no branch nowhere here$/)
      expect(error.hint).toContain('lh config set base_branch <branch>')
      if (words === 'doctor') expect(findings[0]).toMatchObject({ severity: 'error', code: 'base-branch' })
    }
    expect(branches(all.repo.dir)).toEqual(['main'])
    // Who holds what is true all the same.
    expect((await all.a.ok('status')).warnings).toEqual([
      expect.stringMatching(/^base_branch is "nowhere" .+; name one that is there: lh config set/),
    ])
    // A branch of the remote is one.
    git(all.repo.dir, 'update-ref', 'refs/remotes/origin/nowhere', 'main')
    expect((await all.a.ok('status')).warnings).toEqual([])
    await all.a.ok('doctor')
  })

  it('says so in a repository without commits', async () => {
    const dir = path.join(folder('room-'), 'app')
    fs.mkdirSync(dir)
    git(dir, 'init', '-q')
    const a = new Repo(dir).as('agent:a')
    const error = await a.refused('policy', 'worktree add spike')
    expect(error.message).toContain('no commit yet')
    expect(error.hint).toContain('git commit')
    // Nothing is wrong with a setting that names the branch to come.
    await a.ok('config set base_branch nowhere')
    expect((await a.refused('policy', 'worktree add spike')).message).toContain('no commit yet, so there is no branch nowhere')
    const bare = folder('bare-')
    git(bare, 'init', '-q', '--bare')
    const { message, hint } = await new Repo(bare).as('agent:a').refused('policy', 'worktree add spike')
    expect([message, hint]).toEqual([expect.stringContaining('no commit yet'), expect.stringContaining('git push origin HEAD')])
    await a.ok('status')
    expect((await a.ok('doctor')).findings).toContainEqual(expect.objectContaining({ severity: 'info', code: 'base-branch' }))
  })

  it.each([8, 16])('%i at once all succeed', { timeout: 120_000 }, async count => {
    const { repo, a } = room()
    repo.busy = true
    // What makes Git write into the one configuration file.
    git(repo.dir, 'config', 'branch.autoSetupMerge', 'always')
    const names = Array.from({ length: count }, (_, number) => `wt-${number}`)
    const results = await Promise.all(names.map(name => a.run(`worktree add ${name}`)))
    for (const result of results) expect(result).toMatchObject({ code: 0 })
    expect(known(repo.dir).toSorted()).toEqual(names.toSorted())
    const { worktrees, count: listed } = await a.ok('worktree list')
    expect(listed).toBe(count + 1)
    expect(new Set(worktrees.map((worktree: Doc) => worktree.worktree_id)).size).toBe(count + 1)
    for (const worktree of worktrees) expect(worktree).toMatchObject({ dirty: false, ahead: 0, behind: 0, present: true })
    expect(leftovers(repo.dir)).toEqual([])
  })

  it('makes one when eight ask for the same ticket at once', { timeout: 60_000 }, async () => {
    const { repo, home, a } = room()
    const results = await Promise.all(Array.from({ length: 8 }, () => a.run('worktree add fix-login')))
    for (const result of results) expect(result).toMatchObject({ code: 0, stdout: `${path.join(home, 'fix-login')}\n` })
    expect(known(repo.dir)).toEqual(['fix-login'])
  })

  it('leaves nothing when the files cannot be made', async () => {
    const all = room()
    const { repo, a } = all
    fs.writeFileSync(path.join(repo.dir, '.gitattributes'), 'file filter=broken\n')
    fs.writeFileSync(path.join(repo.dir, 'file'), 'other\n')
    commit(repo.dir)
    git(repo.dir, 'config', 'filter.broken.smudge', 'false')
    git(repo.dir, 'config', 'filter.broken.required', 'true')
    const error = await a.refused('unavailable', 'worktree add fix-login')
    expect(error.message).toContain('reset')
    expectNothing(all)
    git(repo.dir, 'config', '--unset', 'filter.broken.required')
    await a.ok('worktree add fix-login')
  })

  it('clears up what a Git that was killed has half made, and nothing that somebody put there', async () => {
    const { repo, home, a } = room()
    const place = path.join(home, 'fix-login')
    const plan = { ticket: id, name: 'fix-login', path: place, branch: 'agents/fix-login', madeBranch: git(repo.dir, 'rev-parse', 'main') }
    const planFile = path.join(repo.dir, '.git', 'leasehold', 'adding-0123456789abcdef.json')
    const half = path.join(repo.dir, '.git', 'worktrees', 'fix-login')
    for (const files of [['locked'], ['locked', 'gitdir'], ['locked', 'gitdir', 'commondir', 'HEAD']]) {
      git(repo.dir, 'branch', 'agents/fix-login')
      for (const directory of [path.dirname(planFile), half, place]) fs.mkdirSync(directory, { recursive: true })
      fs.writeFileSync(planFile, JSON.stringify(plan))
      const content: Record<string, string> = {
        locked: 'initializing\n',
        gitdir: `${place}/.git\n`,
        commondir: '../..\n',
        HEAD: 'ref: refs/heads/agents/fix-login\n',
      }
      for (const name of files) fs.writeFileSync(path.join(half, name), content[name]!)
      fs.utimesSync(half, 1, 1)
      if (files.includes('HEAD')) {
        fs.writeFileSync(path.join(place, 'mine'), 'x')
        // oxlint-disable-next-line no-await-in-loop -- each in turn
        expect((await a.refused('policy', 'worktree add fix-login')).message).toContain('mine')
        fs.rmSync(path.join(place, 'mine'))
      }
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('worktree add fix-login')).worktree).toMatchObject({ path: place, dirty: false, locked: null })
      expect(known(repo.dir)).toEqual(['fix-login'])
      expect(leftovers(repo.dir)).toEqual([])
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.ok('worktree remove fix-login')
      expect(branches(repo.dir)).toEqual(['main'])
    }
  })

  it('goes where configuration says, also inside the repository then, and names branches so', async () => {
    const { repo, a } = room()
    await a.ok('config set worktree.directory .worktrees')
    await a.ok('config set worktree.branch_prefix work-')
    const { worktree } = await a.ok('worktree add spike')
    expect(worktree).toMatchObject({ path: path.join(repo.dir, '.worktrees', 'spike'), branch: 'work-spike' })
    expect(git(repo.dir, 'status', '--porcelain')).not.toContain('.worktrees')
    const outside = folder('outside-')
    const other = a.with({ LEASEHOLD_WORKTREE_DIRECTORY: outside, LEASEHOLD_WORKTREE_BRANCH_PREFIX: 'x/' })
    expect((await other.ok('worktree add other')).worktree).toMatchObject({ path: path.join(outside, 'other'), branch: 'x/other' })
  })

  it('writes worktree.union_paths to .gitattributes, so that lists of modules merge', async () => {
    const { repo, home, a } = room()
    fs.writeFileSync(path.join(repo.dir, '.gitattributes'), '*.bin -text')
    commit(repo.dir)
    const union = a.with({ LEASEHOLD_WORKTREE_UNION_PATHS: 'modules.txt, src/**/index.ts' })
    expect((await union.ok('worktree add one')).worktree.dirty).toBe(true)
    expect(fs.readFileSync(path.join(home, 'one', '.gitattributes'), 'utf8')).toBe(
      '*.bin -text\nmodules.txt merge=union\nsrc/**/index.ts merge=union\n',
    )
    expect((await a.ok('worktree add two')).worktree.dirty).toBe(false)
  })

  it('works in a bare repository, from a linked worktree, and under the variables of a hook', async () => {
    const { repo, a } = room()
    const bare = path.join(folder('room-'), 'hub.git')
    git(repo.dir, 'clone', '-q', '--bare', repo.dir, bare)
    const inBare = new Repo(bare, path.join(bare, 'leasehold')).as('agent:a')
    const { worktree } = await inBare.ok('worktree add fix-login')
    expect(worktree).toMatchObject({ path: path.join(path.dirname(bare), 'hub-worktrees', 'fix-login'), ticket: id })
    const again = await inBare.in(worktree.path).ok('worktree add other')
    expect(again.worktree.path).toBe(path.join(path.dirname(bare), 'hub-worktrees', 'other'))
    expect((await inBare.ok('worktree list')).worktrees.map((each: Doc) => each.main)).toEqual([true, false, false])
    // As Git sets them for a hook of another worktree.
    const hooked = a.with({
      GIT_INDEX_FILE: path.join(repo.dir, '.git', 'index'),
      GIT_PREFIX: 'x/',
      GIT_OBJECT_DIRECTORY: path.join(repo.dir, '.git', 'objects'),
    })
    const before = fs.readFileSync(path.join(repo.dir, '.git', 'index'))
    const { worktree: third } = await hooked.ok('worktree add third')
    expect(third.dirty).toBe(false)
    expect(fs.readFileSync(path.join(repo.dir, '.git', 'index'))).toEqual(before)
  })

  it('puts nothing into the repository that a submodule lies in', async () => {
    const { repo } = room()
    const outer = path.join(folder('room-'), 'outer')
    fs.mkdirSync(outer)
    git(outer, 'init', '-q')
    git(outer, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', repo.dir, 'sub')
    git(outer, 'commit', '-q', '-m', 'sub')
    const store = path.join(outer, '.git', 'modules', 'sub', 'leasehold')
    const { worktree } = await new Repo(path.join(outer, 'sub'), store).as('agent:a').ok('worktree add spike')
    expect(worktree.path).toBe(path.join(path.dirname(outer), 'sub-worktrees', 'spike'))
    expect(git(outer, 'status', '--porcelain')).toBe('')
  })

  it('takes paths with blanks and newlines', async () => {
    const { repo, home, a } = room()
    for (const [number, name] of ['with blank', 'new\nline', 'ü"\'$'].entries()) {
      const place = path.join(home, name)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok(`worktree add odd-${number} --path`, place)).worktree).toMatchObject({ path: place, dirty: false })
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok('worktree info', place)).worktree.branch).toBe(`agents/odd-${number}`)
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      await a.ok('worktree remove', place)
      expect(fs.existsSync(place)).toBe(false)
    }
    expect(branches(repo.dir)).toEqual(['main'])
    expect(known(repo.dir)).toEqual([])
  })
})

describe('worktree list and info', () => {
  it('join what Git knows with who holds what', async () => {
    const { repo, home, a, b } = room()
    const place = path.join(home, 'fix-login')
    await a.ok('worktree add fix-login')
    await a.in(place).ok('claim acquire fix-login')
    fs.writeFileSync(path.join(place, 'new'), 'x')
    git(place, 'commit', '-q', '--allow-empty', '-m', 'mine')
    commit(repo.dir, 'theirs')
    git(repo.dir, 'worktree', 'add', '-q', '--detach', path.join(home, 'by hand'))
    const { worktrees, count } = await b.ok('worktree list')
    expect(count).toBe(3)
    const [main, first, second] = [repo.dir, place, path.join(home, 'by hand')].map(each => worktrees.find((row: Doc) => row.path === each))
    expect(main).toMatchObject({ main: true, current: true, branch: 'main', made_by_us: false, holder: null, ticket: null })
    expect(first).toMatchObject({
      main: false,
      ticket: id,
      made_by_us: true,
      holder: 'agent:a',
      dirty: true,
      changed: 0,
      untracked: 1,
      ahead: 1,
      behind: 1,
    })
    expect(first.leases).toHaveLength(3)
    expect(second).toMatchObject({ branch: null, ticket: null, made_by_us: false, dirty: false, ahead: 0, behind: 0 })
    expect(first.last_activity).toMatch(/^20.*Z$/)
    expect(first).not.toHaveProperty('disk_bytes')
    expect((await b.ok('worktree list --disk')).worktrees[1].disk_bytes).toBeGreaterThan(0)
    for (const spelling of [place, id, 'fix-login', 'agents/fix-login', first.worktree_id, `ticket:${id}`]) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await b.ok('worktree info', spelling)).worktree.path, spelling).toBe(place)
    }
    expect((await a.in(place).ok('worktree info')).worktree).toMatchObject({ path: place, current: true })
    await b.refused('not_found', 'worktree info nothing')
    const text = await b.run('worktree list')
    expect(text.stdout).toMatch(/app-worktrees\/fix-login +agents\/fix-login +dirty +\+1 -1 +agent:a/)
  })

  it('count new files also where Git is told not to show them: removing the worktree would', async () => {
    const { repo, home, a } = room()
    await a.ok('worktree add fix-login')
    git(repo.dir, 'config', 'status.showUntrackedFiles', 'no')
    const place = path.join(home, 'fix-login')
    fs.writeFileSync(path.join(place, 'new'), 'x')
    expect((await a.ok('worktree info', place)).worktree).toMatchObject({ dirty: true, changed: 0, untracked: 1 })
    await a.refused('policy', 'worktree remove fix-login')
  })

  it('find the main one by its directory and its branch as well, after any other that is called so', async () => {
    const { repo, a } = room()
    for (const name of ['main', 'app']) {
      // oxlint-disable-next-line no-await-in-loop -- each in turn
      expect((await a.ok(`worktree info ${name}`)).worktree).toMatchObject({ main: true, path: repo.dir })
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect((await a.refused('policy', `worktree remove ${name} --salvage`)).message).toContain(
        'is the main worktree; it is never removed',
      )
    }
    const { worktree } = await a.ok('worktree add app')
    expect((await a.in(worktree.path).ok('worktree info main')).worktree.path).toBe(repo.dir)
    expect((await a.ok('worktree info app')).worktree.path).toBe(worktree.path)
    await a.ok('worktree remove app')
    expect(fs.existsSync(path.join(repo.dir, 'file'))).toBe(true)
  })

  it('keep the identity through git worktree move, with one warning', async () => {
    const { repo, home, a } = room()
    const { worktree } = await a.ok('worktree add fix-login')
    const moved = path.join(home, 'moved')
    git(repo.dir, 'worktree', 'move', worktree.path, moved)
    expect((await a.ok('worktree list')).worktrees[1]).toMatchObject({ path: moved, worktree_id: worktree.worktree_id, ticket: id })
    const first = await a.in(moved).run('claim acquire fix-login')
    expect(first.stderr).toContain('moved')
    expect((await a.in(moved).run('claim renew fix-login')).stderr).toBe('')
    expect(await a.ok('worktree add fix-login')).toMatchObject({ already: true, worktree: { path: moved, holder: 'agent:a' } })
  })

  it('do not take a copied directory for the worktree', async () => {
    const { home, a } = room()
    const { worktree } = await a.ok('worktree add fix-login')
    const copy = path.join(home, 'copy')
    fs.cpSync(worktree.path, copy, { recursive: true })
    const { leases, lease } = await a
      .in(copy)
      .run('--json claim acquire fix-login')
      .then(({ stdout }) => JSON.parse(stdout))
    expect(leases).toBeUndefined()
    expect(lease.holder.worktree_id).not.toBe(worktree.worktree_id)
    expect((await a.ok('worktree list')).count).toBe(2)
    expect((await a.refused('not_found', 'worktree remove', copy)).message).toContain('none of this repository')
    expect(fs.existsSync(path.join(copy, 'file'))).toBe(true)
  })

  it('init writes the id of this worktree and says it', async () => {
    const { repo, a } = room()
    const { worktree_id: own, path: root } = await a.ok('worktree init')
    expect(root).toBe(repo.dir)
    expect(JSON.parse(fs.readFileSync(path.join(repo.dir, '.git/leasehold/worktree.json'), 'utf8')).worktree_id).toBe(own)
  })
})

describe('a process in a worktree', () => {
  it('keeps it from being removed', async () => {
    const { a } = room()
    const { worktree } = await a.ok('worktree add spike')
    const sleeper = new Running('sleep', ['60'], { cwd: worktree.path, env: process.env })
    await until(() => fs.existsSync(`/proc/${sleeper.pid}/cwd`) || process.platform !== 'linux', 'it runs')
    const error = await a.refused('policy', 'worktree remove spike --salvage')
    expect(error).toMatchObject({ message: expect.stringContaining(`process ${sleeper.pid} (sleep)`), details: { pids: [sleeper.pid] } })
    expect((await a.ok('worktree prune --yes')).kept).toMatchObject([{ why: expect.stringContaining('sleep') }])
    sleeper.kill('SIGKILL')
    await sleeper.ended
    await a.ok('worktree remove spike')
  })
})
