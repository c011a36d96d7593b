import { usage } from '../../core/fault.ts'
import { homeOf } from './profiles/files.ts'
import type { Repository } from '../../host/git.ts'
import type { Program } from '../hooks/agent/client.ts'
import type { AgentName } from '../hooks/agent/names.ts'
import { agentNames, isAgentName } from '../hooks/agent/names.ts'
import { isClient } from '../identity/agent.ts'
import type { Ready } from './evidence.ts'

/** What a launch needs to know of the hooks of its agent. */
export interface HooksHere {
  /** Our hooks are wired for this client and would run. */
  readonly hooksInstalled: boolean
  /** This installation, for hooks that are added for one launch. */
  readonly program: Program
}

/** What is to be launched. */
export interface Asked {
  readonly profile: string
  readonly command: readonly string[]
  readonly ready: Ready | null
}

/**
 * Are our hooks there for the client of this profile? Nothing is started. Throws `usage` where a command is to say by its hooks that it
 * works, and there are none that could.
 */
export async function hooksFor(
  { profile, command, ready }: Asked,
  env: NodeJS.ProcessEnv,
  { root, commonDir }: Repository,
  program: Program,
): Promise<HooksHere> {
  const waits = profile === 'command' && ready?.kind === 'hook'
  if (!isAgentName(profile) && !waits) return { hooksInstalled: false, program }
  const { agentStatus } = await import('../hooks/agent/service.ts')
  const around = { env, home: homeOf(env), root: root ?? '/', commonDir, program, failClosed: false, plugin: null }
  if (isAgentName(profile)) return { hooksInstalled: agentStatus(profile, around).fires === true, program }
  // Of a program that is no client we know, any of them may be what it runs.
  const named = agentNames.find(name => isClient({ comm: '', cmdline: command }, name))
  const isWired = (name: AgentName): boolean => {
    const { fires, coveredBy } = agentStatus(name, around)
    return fires !== null || coveredBy !== null
  }
  if (named === undefined ? agentNames.some(isWired) : isWired(named)) return { hooksInstalled: true, program }
  throw usage(
    named === undefined ? '--ready hook waits for a hook, and none of any agent is installed' : `the hooks of ${named} are not installed`,
    `lh hooks install ${named ?? agentNames.join(' | ')}; or another way to tell that it works: --ready fd, output=REGEX, http=URL or alive=5s`,
  )
}
