import { findRepository, findRepositoryAround } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import type { Config, Flags } from './layers.ts'
import { loadFaultyConfig, nowhere } from './layers.ts'

/** A repository's configuration for those who look at it or mend it: its faults are listed in it, and no store is opened. */
export async function lookAtConfig(
  directory: string,
  env: NodeJS.ProcessEnv,
  flags: Flags = {},
): Promise<{ readonly repository: Repository; readonly config: Config }> {
  const repository = findRepository(directory, env)
  return { repository, config: await loadFaultyConfig(repository, env, flags) }
}

/** The same for the user's own settings, which need no repository: outside Git it is `nowhere`. */
export async function lookAtUserConfig(
  directory: string,
  env: NodeJS.ProcessEnv,
): Promise<{ readonly repository: Repository; readonly config: Config }> {
  const repository = findRepositoryAround(directory, env) ?? nowhere
  return { repository, config: await loadFaultyConfig(repository, env) }
}
