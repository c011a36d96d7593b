import { cpSync, existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { Fault } from '../../../core/fault.ts'
import type { Coordinator } from '../../../coordinator.ts'
import type { Holder } from '../../../core/lease.ts'
import { withoutRepository } from '../../../host/git-run.ts'
import { trioLines } from '../../enforce/trailers.ts'
import type { HookLayout } from './layout.ts'
import { lefthookLocal, lefthookScripts } from './layout.ts'

/** One thing that was tried. */
export interface CanaryStep {
  readonly step: string
  readonly ok: boolean
  /** Nothing stopped Git; else something else may have done so first. */
  readonly wentOn: boolean
  /** What Git said, where it was not what it should be. */
  readonly said: string | null
}

/** Leases of a store that lives as long as the test. */
export type OpenCanary = (directory: string) => { readonly coordinator: Coordinator; close(): void }

const holder = (name: string, worktree: string): Holder => ({
  agentId: `agent:canary-${name}`,
  worktreeId: `wt:${worktree}`,
  sessionId: null,
  witness: null,
})
const first = holder('a', '0000000a')
const second = holder('b', '0000000b')

/**
 * Proves that a "no" stops Git here: in a temporary worktree, with the hooks that are installed and a store of its own, what somebody else
 * holds is committed, merged, and picked, and work of a lost lease is pushed to a temporary repository. Nothing of it stays.
 */
export async function runCanary(layout: HookLayout, openStore: OpenCanary): Promise<readonly CanaryStep[]> {
  const folder = realpathSync.native(mkdtempSync(join(tmpdir(), 'leasehold-canary-')))
  const worktree = join(folder, 'worktree')
  const root = layout.repository.root ?? layout.repository.gitDir
  const store = openStore(join(folder, 'store'))
  const git = gitIn(layout, join(folder, 'store'))
  try {
    const empty = must(git(root, ['hash-object', '-t', 'tree', '-w', '/dev/null']))
    const base = must(git(root, ['commit-tree', empty, '-m', 'canary']))
    must(git(root, ['-c', 'core.hooksPath=/dev/null', 'worktree', 'add', '--quiet', '--detach', worktree, base]))
    // Configuration that is not committed belongs to the hooks, too.
    for (const place of layout.lefthook === null ? [] : [layout.lefthook, lefthookLocal(layout.lefthook), lefthookScripts(layout.lefthook)])
      if (existsSync(place)) cpSync(place, join(worktree, relative(root, place)), { recursive: true })
    const { coordinator } = store
    await coordinator.acquire({ holder: second }, { resources: ['path:leasehold-canary'] })
    writeFileSync(join(worktree, 'leasehold-canary'), 'canary\n')
    must(git(worktree, ['add', '--force', 'leasehold-canary']))
    const steps = [
      denied('a commit of what somebody else holds is refused', git(worktree, ['commit', '--message', 'canary']), 'path:leasehold-canary'),
    ]
    steps.push(...replayed(git, worktree), await pushed(git, worktree, folder, coordinator))
    return steps
  } finally {
    store.close()
    git(root, ['worktree', 'remove', '--force', worktree])
    rmSync(folder, { recursive: true, force: true })
  }
}

/** A merge of two changes in one file, which is like neither parent, and a cherry-pick of one of them. */
function replayed(git: ReturnType<typeof gitIn>, worktree: string): readonly CanaryStep[] {
  const commit = (text: string, ...parents: readonly string[]): string => {
    writeFileSync(join(worktree, 'leasehold-canary'), text)
    must(git(worktree, ['add', '--force', 'leasehold-canary']))
    const tree = must(git(worktree, ['write-tree']))
    return must(git(worktree, ['commit-tree', tree, '-m', 'canary', ...parents.flatMap(parent => ['-p', parent])]))
  }
  const base = commit('1\n2\n3\n4\n5\n')
  const [ours, theirs] = [commit('ours\n2\n3\n4\n5\n', base), commit('1\n2\n3\n4\ntheirs\n', base)]
  const tried = (step: string, ...args: readonly string[]): CanaryStep => {
    must(git(worktree, ['reset', '--quiet', '--hard', ours]))
    return denied(step, git(worktree, args), 'path:leasehold-canary')
  }
  return [
    tried('a merge of what somebody else holds is refused', '-c', 'merge.verifySignatures=false', 'merge', '--no-edit', theirs),
    tried('a cherry-pick of what somebody else holds is refused', 'cherry-pick', theirs),
  ]
}

async function pushed(git: ReturnType<typeof gitIn>, worktree: string, folder: string, coordinator: Coordinator): Promise<CanaryStep> {
  const resource = 'ticket:leasehold-canary'
  const granted = await coordinator.acquire({ holder: first }, { resources: [resource] })
  const lease = granted.ok ? granted.leases[0] : undefined
  if (lease === undefined) throw new Fault('internal', 'the canary got no lease in a store of its own')
  await coordinator.evict({ holder: second }, { target: { resource }, reason: 'canary' })
  await coordinator.acquire({ holder: second }, { resources: [resource] })
  const message = ['canary', '', ...trioLines({ ticket: 'leasehold-canary', leaseId: lease.leaseId, token: lease.token })].join('\n')
  const tree = must(git(worktree, ['rev-parse', 'HEAD^{tree}']))
  const commit = must(git(worktree, ['commit-tree', tree, '-m', message]))
  const remote = join(folder, 'remote.git')
  must(git(folder, ['init', '--quiet', '--bare', remote]))
  return denied(
    'a push of work whose lease was lost is refused',
    git(worktree, ['push', '--quiet', remote, `${commit}:refs/heads/canary`]),
    'leasehold-canary with token',
  )
}

interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Git with the hooks of this worktree, whatever `core.hooksPath` means elsewhere, and with the canary's store. */
function gitIn({ directory, env }: HookLayout, store: string): (cwd: string, args: readonly string[]) => Ran {
  const kept = Object.fromEntries(Object.entries(withoutRepository(env)).filter(([name]) => !/^(LEASEHOLD|HUSKY|LEFTHOOK)(_|$)/.test(name)))
  const names = ['AUTHOR', 'COMMITTER'].flatMap(who => [
    [`GIT_${who}_NAME`, 'canary'],
    [`GIT_${who}_EMAIL`, 'canary@example.invalid'],
  ])
  const own = {
    ...kept,
    ...Object.fromEntries(names),
    LEASEHOLD_STORE: `file://${store}`,
    // Not where this repository's leases are, and only the hooks go there all the same.
    LEASEHOLD_CANARY: '1',
    LEASEHOLD_AGENT_ID: first.agentId,
    LEASEHOLD_ENFORCE: 'strict',
  }
  return (cwd, args) => {
    const { spawnSync } = process.getBuiltinModule('node:child_process')
    const hooks = args.includes('core.hooksPath=/dev/null') ? [] : ['-c', `core.hooksPath=${directory}`]
    const done = spawnSync('git', [...hooks, '-c', 'commit.gpgSign=false', ...args], {
      cwd,
      env: own,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return { status: done.status, stdout: done.stdout, stderr: done.stderr }
  }
}

function must({ status, stdout, stderr }: Ran): string {
  if (status === 0) return stdout.trim()
  throw new Fault('unavailable', `the test of the hooks could not be set up: ${stderr.trim()}`, { hint: 'nothing of it is left' })
}

/** Refused, and by us: another hook that fails first proves nothing. */
function denied(step: string, { status, stderr }: Ran, words: string): CanaryStep {
  const wentOn = status === 0
  const ok = !wentOn && stderr.includes(words)
  return {
    step,
    ok,
    wentOn,
    said: ok ? null : `${wentOn ? 'Git went on' : 'Git stopped for another reason'}${stderr.trim() === '' ? '' : `: ${stderr.trim()}`}`,
  }
}
