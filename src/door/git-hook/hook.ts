import fs from 'node:fs'
import path from 'node:path'
import { withoutRepository } from '../../service/enforce/git-facts.ts'
import type { Flags } from '../../service/config/layers.ts'
import type { Workspace } from '../../service/claim/workspace.ts'

/** Opens the repository in a directory; the caller has loaded what that takes. */
export type Open = (directory: string, env: NodeJS.ProcessEnv, flags?: Flags) => Promise<Workspace>

/** What a hook works with. */
export interface Hook {
  readonly args: readonly string[]
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly open: Open
  /** A line for whoever runs Git. */
  say(text: string): void
}

/**
 * The workspace that Git works in. The repository is found from here, as always; where Git was told of another one, as with
 * `git --git-dir`, its word counts.
 */
export async function workspaceOf({ cwd, env, open }: Hook, flags?: Flags): Promise<Workspace> {
  const plain = withoutRepository(env)
  const told = env['GIT_DIR']
  if (env['GIT_WORK_TREE'] || env['GIT_COMMON_DIR']) return open(cwd, env, flags)
  try {
    const workspace = await open(cwd, plain, flags)
    if (!told || workspace.repository.gitDir === fs.realpathSync.native(path.resolve(cwd, told))) return workspace
    workspace.store.close()
  } catch (error) {
    if (!told) throw error
  }
  return open(cwd, env, flags)
}

/** All that is on standard input, as far as it can be read. */
export function readInput(): Buffer {
  const parts: Buffer[] = []
  const part = Buffer.alloc(65_536)
  for (;;) {
    try {
      const length = fs.readSync(0, part)
      if (length === 0) return Buffer.concat(parts)
      parts.push(Buffer.from(part.subarray(0, length)))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EOF') return Buffer.concat(parts)
      if (code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
