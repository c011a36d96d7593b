import type { Repository } from '../../host/git.ts'
import { loadFaultyConfig, nowhere } from '../config/layers.ts'
import type { Values } from '../config/schema.ts'

/** What the hooks go by. */
export interface HookSettings {
  readonly enabled: boolean
  readonly fail: Values['session_lock.fail']
  readonly scope: Values['session_lock.scope']
  readonly ttlMs: number
  readonly outsideGit: Values['session_lock.outside_git']
  /** What is wrong with the configuration, the first of it; what cannot be read of it is as if it were not set. */
  readonly fault: string | null
}

/**
 * The settings for a repository; null: outside Git. Never throws: a configuration with a fault locks nobody out, and all else that it says,
 * and what the user and the environment say, still counts.
 */
export async function hookSettings(repository: Repository | null, env: NodeJS.ProcessEnv): Promise<HookSettings> {
  const own: NodeJS.ProcessEnv = {}
  // What else is set for other commands is not the hook's to judge.
  for (const name of Object.keys(env)) if (/^(?:HOME|XDG_CONFIG_HOME|LEASEHOLD_SESSION_LOCK_.*)$/.test(name)) own[name] = env[name]
  try {
    const config = await loadFaultyConfig(repository ?? nowhere, own)
    return {
      enabled: config.get('session_lock.enabled'),
      fail: config.get('session_lock.fail'),
      scope: config.get('session_lock.scope'),
      ttlMs: config.get('session_lock.ttl'),
      outsideGit: config.get('session_lock.outside_git'),
      fault: config.faults[0]?.message ?? null,
    }
  } catch (error) {
    const fail = env['LEASEHOLD_SESSION_LOCK_FAIL'] === 'closed' ? 'closed' : 'open'
    return { enabled: true, fail, scope: 'workspace', ttlMs: 300_000, outsideGit: 'ignore', fault: (error as Error).message }
  }
}
