import { isFault } from '../../core/fault.ts'
import type { Replay } from '../../service/enforce/commit-check.ts'
import { checkCommit } from '../../service/enforce/commit-check.ts'
import { headsOfMerge, isRebasingPatches, namesIn } from '../../service/enforce/git-facts.ts'
import type { Workspace } from '../../service/claim/workspace.ts'
import type { Hook } from './hook.ts'
import { readInput, workspaceOf } from './hook.ts'
import { told } from './told.ts'

/** `pre-commit`: with `--staged` the names of what is staged come on standard input, and `.` after the last, so that none is missing. */
export async function commitHook(hook: Hook): Promise<boolean> {
  return judgeCommitOf(hook, await workspaceOf(hook), stagedIn(hook), null)
}

/** `pre-merge-commit`, before `git merge` commits. */
export async function mergeHook(hook: Hook): Promise<boolean> {
  return judgeCommitOf(hook, await workspaceOf(hook), stagedIn(hook), { parents: headsOfMerge(hook.env) }, 'git merge --abort')
}

/** `pre-applypatch`, before `git am` commits; a rebase may use it for commits, which were judged where they were made. */
export async function patchHook(hook: Hook): Promise<boolean> {
  const [workspace, staged] = [await workspaceOf(hook), stagedIn(hook)]
  return isRebasingPatches(workspace.repository) || judgeCommitOf(hook, workspace, staged, null, 'git am --abort')
}

function stagedIn({ args }: Hook): readonly string[] | null {
  const names = args[0] === '--staged' ? namesIn(readInput().toString('utf8')) : []
  return names.at(-1) === '.' ? names.slice(0, -1) : null
}

/** `undo`: what takes back what Git has staged before it asked. */
export async function judgeCommitOf(
  hook: Hook,
  workspace: Workspace,
  staged: readonly string[] | null,
  replay: Replay | null,
  undo?: string,
): Promise<boolean> {
  try {
    return told(hook, await checkCommit({ workspace, cwd: hook.cwd, env: hook.env }, staged, replay), 'commit', undo)
  } catch (error) {
    // The push is where it counts; nobody's work waits for a log that cannot be read.
    if (!isFault(error) || error.code !== 'unavailable') throw error
    hook.say(`warning: nobody can tell who holds what, so this commit is not judged: ${error.message}`)
    return true
  }
}
