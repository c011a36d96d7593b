import type { Repository } from '../../host/git.ts'
import { loadConfig, nowhere } from '../config/layers.ts'
import type { Values } from '../config/schema.ts'

/** What the hooks go by. */
export interface HookSettings {
  readonly enabled: boolean
  readonly fail: Values['session_lock.fail']
  readonly scope: Values['session_lock.scope']
  readonly ttlMs: number
  readonly outsideGit: Values['session_lock.outside_git']
  /** Why the settings of the repository, or all of them, could not be read; then the defaults count. */
  readonly fault: string | null
}

/**
 * The settings for a repository; null: outside Git. Never throws: a configuration that cannot be read locks nobody out, and what the user
 * or the environment says still counts when only the repository's file is bad.
 */
export async function hookSettings(repository: Repository | null, env: NodeJS.ProcessEnv): Promise<HookSettings> {
  const own: NodeJS.ProcessEnv = {}
  // What else is set for other commands is not the hook's to judge.
  for (const name of Object.keys(env)) if (/^(?:HOME|XDG_CONFIG_HOME|LEASEHOLD_SESSION_LOCK_.*)$/.test(name)) own[name] = env[name]
  let fault: string | null = null
  for (const place of repository === null ? [nowhere] : [repository, { ...repository, root: null }]) {
    try {
      const config = await loadConfig(place, own)
      return {
        enabled: config.get('session_lock.enabled'),
        fail: config.get('session_lock.fail'),
        scope: config.get('session_lock.scope'),
        ttlMs: config.get('session_lock.ttl'),
        outsideGit: config.get('session_lock.outside_git'),
        fault,
      }
    } catch (error) {
      fault ??= (error as Error).message
    }
  }
  const said = env['LEASEHOLD_SESSION_LOCK_FAIL']
  return { enabled: true, fail: said === 'closed' ? 'closed' : 'open', scope: 'workspace', ttlMs: 300_000, outsideGit: 'ignore', fault }
}
