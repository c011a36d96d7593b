import { homeOf } from './profiles/files.ts'
import type { Repository } from '../../host/git.ts'
import type { Program } from '../hooks/agent/client.ts'
import { isAgentName } from '../hooks/agent/names.ts'

/** What a launch needs to know of the hooks of its agent. */
export interface HooksHere {
  /** Our hooks are wired for this client and would run. */
  readonly hooksInstalled: boolean
  /** This installation, for hooks that are added for one launch. */
  readonly program: Program
}

/** Are our hooks there for the client of this profile? Nothing is started. */
export async function hooksFor(
  profile: string,
  env: NodeJS.ProcessEnv,
  { root, commonDir }: Repository,
  program: Program,
): Promise<HooksHere> {
  if (!isAgentName(profile)) return { hooksInstalled: false, program }
  const { agentStatus } = await import('../hooks/agent/service.ts')
  const around = { env, home: homeOf(env), root: root ?? '/', commonDir, program, failClosed: false, plugin: null }
  return { hooksInstalled: agentStatus(profile, around).fires === true, program }
}
