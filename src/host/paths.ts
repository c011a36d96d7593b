import { isAbsolute } from 'node:path'

/**
 * A path below a directory, each as it is. `path.join` looks at every character once more, which costs a process that lives for 25 ms as
 * much as a dozen system calls.
 */
export const below = (directory: string, name: string): string => (directory.endsWith('/') ? directory + name : `${directory}/${name}`)

/** Where a repository's store lives, shared by all its worktrees. */
export const storeDirectory = (commonDir: string): string => below(commonDir, 'leasehold')

/** What Leasehold knows of one worktree. In the main worktree this is the store's directory as well. */
export const worktreeDirectory = (gitDir: string): string => below(gitDir, 'leasehold')

/** Which worktree that is, and what it was made for. */
export const worktreeRecordFile = (gitDir: string): string => below(worktreeDirectory(gitDir), 'worktree.json')

/** The machine's configuration. */
export const systemConfigFile = '/etc/leasehold/config.yaml'

/** The user's configuration; null where nobody has a home. A relative `XDG_CONFIG_HOME` counts as unset, as its specification says. */
export function userConfigFile(env: NodeJS.ProcessEnv): string | null {
  const configured = env['XDG_CONFIG_HOME']
  if (configured && isAbsolute(configured)) return below(configured, 'leasehold/config.yaml')
  const home = env['HOME']
  return home && isAbsolute(home) ? below(home, '.config/leasehold/config.yaml') : null
}

/** The configuration that is committed with the repository. */
export const repositoryConfigFile = (root: string): string => below(root, '.leasehold/config.yaml')

/** The parsed-configuration cache, one for each user so that nobody reads what another could have written. */
export const configCacheFile = (commonDir: string, uid: number): string => below(storeDirectory(commonDir), `config.cache.${uid}.json`)
