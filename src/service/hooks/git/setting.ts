import { defaultPolicy } from '../../../core/policy.ts'
import { withoutRepository } from '../../../host/git-run.ts'
import type { Repository } from '../../../host/git.ts'
import { findRepository, findRepositoryAround } from '../../../host/git.ts'

export { defaultPolicy } from '../../../core/policy.ts'

/** The repository in a directory, whatever a hook around us says of another. */
export const repositoryOf = (directory: string, env: NodeJS.ProcessEnv): Repository => findRepository(directory, withoutRepository(env))

/** The same; null outside Git. */
export const repositoryAround = (directory: string, env: NodeJS.ProcessEnv): Repository | null =>
  findRepositoryAround(directory, withoutRepository(env))

/** A store for a test that takes seconds. */
export const canaryStore = (directory: string) => ({
  directory,
  shared: false,
  lockWaitMs: 10_000,
  retention: { segmentBytes: 1_048_576, maxAgeMs: 86_400_000, maxBytes: 1_048_576 },
  limits: {
    max_indefinite_leases_per_agent: defaultPolicy.maxIndefinitePerAgent,
    max_indefinite_leases_per_repo: defaultPolicy.maxIndefinitePerRepo,
  },
  limitsChosen: [],
  allowUnsafeFs: true,
  resident: false,
})
