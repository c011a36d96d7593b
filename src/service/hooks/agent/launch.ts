import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AgentName } from './names.ts'
import type { Step } from './model/script.ts'
import { promptFor } from './model/script.ts'

/** Agents that can be run against the scripted model. */
export const launchable = ['claude', 'codex', 'gemini'] as const

/** One of them. */
export type Launchable = (typeof launchable)[number]

/** Can this agent be run against the scripted model? */
export const isLaunchable = (name: AgentName): name is Launchable => (launchable as readonly string[]).includes(name)

/** What one run of an agent needs. */
export interface LaunchRequest {
  readonly program: string
  /** A home of its own, made for this run: nothing of the user's is read or written. */
  readonly home: string
  /** Address of the scripted model. */
  readonly url: string
  readonly steps: readonly Step[]
  /** For the agent to find its own programs. */
  readonly path: string
  readonly more?: readonly string[]
  /** Codex: only hooks that its user has trusted, as people run it. */
  readonly onlyTrusted?: boolean
}

/** A command line and its environment. */
export interface Launch {
  readonly program: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** How an agent is run without an account, against the scripted model on the loopback interface. Writes what it needs into the home. */
export function launchOf(agent: Launchable, request: LaunchRequest): Launch {
  const { program, home, url, path, more = [] } = request
  const prompt = promptFor(request.steps)
  const base = { PATH: path, HOME: home, LANG: 'C.UTF-8' }
  if (agent === 'claude') {
    const format = ['--output-format', 'stream-json', '--verbose', '--permission-mode', 'acceptEdits', '--allowedTools', 'Bash', 'Monitor']
    const quiet = { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1', DISABLE_AUTOUPDATER: '1', CLAUDE_CODE_MAX_RETRIES: '1' }
    return {
      program,
      args: ['-p', prompt, ...format, ...more],
      env: { ...base, ...quiet, ANTHROPIC_BASE_URL: url, ANTHROPIC_API_KEY: 'sk-ant-not-a-key' },
    }
  }
  if (agent === 'codex') {
    mkdirSync(join(home, '.codex'), { recursive: true })
    const config = join(home, '.codex', 'config.toml')
    if (!existsSync(config)) writeFileSync(config, codexConfig(url))
    const trust = request.onlyTrusted === true ? [] : ['--dangerously-bypass-hook-trust']
    const flags = ['--json', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', ...trust]
    return { program, args: ['exec', ...flags, '-m', 'gpt-5.5', ...more, prompt], env: { ...base, LEASEHOLD_TEST_KEY: 'not-a-key' } }
  }
  const key = { GEMINI_API_KEY: 'not-a-key', GOOGLE_GEMINI_BASE_URL: url, GEMINI_CLI_TRUST_WORKSPACE: 'true' }
  const flags = ['-m', 'gemini-2.5-flash', '--approval-mode', 'yolo', '--output-format', 'stream-json']
  return { program, args: [...flags, ...more, '-p', prompt], env: { ...base, ...key } }
}

const codexConfig = (url: string): string => `model_provider = "scripted"
[model_providers.scripted]
name = "scripted"
base_url = "${url}/v1"
wire_api = "responses"
env_key = "LEASEHOLD_TEST_KEY"
request_max_retries = 0
stream_max_retries = 0
[analytics]
enabled = false
`

/** What Gemini's settings must say beside the hooks, so that it asks for no account. */
export const geminiMembers = { security: { auth: { selectedType: 'gemini-api-key' } }, privacy: { usageStatisticsEnabled: false } }
