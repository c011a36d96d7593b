import { mkdirSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Fault } from '../../core/fault.ts'
import { runGit } from '../../host/git.ts'
import { guard, removeTree } from '../selftest/guard.ts'
import { agentScript } from './agent-script.ts'

export const agents = ['ada', 'bob', 'cyd'] as const

/** Work in seconds. The first who takes a second ticket gets `signup` and is killed there; `docs` outlasts the TTL by being renewed. */
export const tickets = [
  { name: 'login', seconds: 0.5 },
  { name: 'search', seconds: 0.7 },
  { name: 'export', seconds: 0.9 },
  { name: 'signup', seconds: 1 },
  { name: 'billing', seconds: 0.8 },
  { name: 'docs', seconds: 4.4 },
] as const

/** The ticket whose holder is killed. */
export const fatalTicket = 'signup'

/** Shortest that still survives a machine on which a command takes a second. */
export const ttlSecs = 3
const renewEveryMs = 1300

/** A temporary Git repository with one worktree for each agent. */
export interface Stage {
  readonly directory: string
  readonly repository: string
  /** For children: nothing of the user's own identity, agent session or Git configuration. */
  readonly env: NodeJS.ProcessEnv
  worktreeOf(agent: string): string
  git(...args: string[]): string
  /** Removes everything, unless it is to be kept. */
  close(): void
}

const foreign =
  /^(LEASEHOLD|GIT|XDG|CLAUDE|CODEX|QWEN|COPILOT|GEMINI|CURSOR|OPENCODE)(_|$)|^(CLAUDECODE|AI_AGENT|NODE_OPTIONS|NODE_EXTRA_CA_CERTS|HOME)$/

/** The environment without what would make the demo depend on who runs it, and where. */
export function neutralEnvironment(env: NodeJS.ProcessEnv, home: string): NodeJS.ProcessEnv {
  const kept = Object.entries(env).filter(([name]) => !foreign.test(name))
  const git = { GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' }
  return { ...Object.fromEntries(kept), ...git, HOME: home, XDG_CONFIG_HOME: path.join(home, '.config') }
}

/** Builds the stage. `stop` runs first when it is torn down, however this process ends. `lh` is the executable the agents use. */
export function buildStage(env: NodeJS.ProcessEnv, lh: string, keep: boolean, stop: () => void): Stage {
  const directory = realpathSync(mkdtempSync(path.join(tmpdir(), 'leasehold-demo-')))
  const close = guard(() => {
    stop()
    if (!keep) removeTree(directory)
  })
  try {
    const home = path.join(directory, 'home')
    mkdirSync(home)
    const childEnv = neutralEnvironment(env, home)
    const repository = path.join(directory, 'repository')
    const worktreeOf = (agent: string): string => path.join(directory, agent)
    const git = (...args: string[]): string => gitIn(repository, args, childEnv)
    mkdirSync(repository)
    git('init', '--quiet', '--template=')
    git('config', 'user.name', 'Leasehold demo')
    git('config', 'user.email', 'demo@leasehold.invalid')
    git('commit', '--quiet', '--allow-empty', '-m', 'an empty beginning')
    for (const agent of agents) git('worktree', 'add', '--quiet', '-b', agent, worktreeOf(agent))
    writeFileSync(path.join(directory, 'agent.mjs'), agentScript)
    writeFileSync(path.join(directory, 'play.json'), JSON.stringify({ lh, ttl: `${ttlSecs}s`, renew_every_ms: renewEveryMs, tickets }))
    return { directory, repository, env: childEnv, worktreeOf, git, close }
  } catch (error) {
    close()
    throw error
  }
}

function gitIn(directory: string, args: readonly string[], env: NodeJS.ProcessEnv): string {
  const { status, stdout, stderr } = runGit(directory, args, env)
  if (status === 0) return stdout
  throw new Fault('unavailable', `git ${args[0]} failed in the demo's own repository: ${stderr.trim()}`, {
    hint: 'the demo needs Git 2.20 or newer; your own repositories were not touched',
  })
}
