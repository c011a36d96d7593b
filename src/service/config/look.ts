import { findRepository } from '../../host/git.ts'
import type { Repository } from '../../host/git.ts'
import type { Config, Flags } from './layers.ts'
import { loadFaultyConfig } from './layers.ts'

/** A repository's configuration for those who look at it or mend it: its faults are listed in it, and no store is opened. */
export async function lookAtConfig(
  directory: string,
  env: NodeJS.ProcessEnv,
  flags: Flags = {},
): Promise<{ readonly repository: Repository; readonly config: Config }> {
  const repository = findRepository(directory, env)
  return { repository, config: await loadFaultyConfig(repository, env, flags) }
}
