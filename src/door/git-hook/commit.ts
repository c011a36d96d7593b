import { isFault } from '../../core/fault.ts'
import { checkCommit } from '../../service/enforce/commit-check.ts'
import { namesIn } from '../../service/enforce/git-facts.ts'
import type { Hook } from './hook.ts'
import { readInput, workspaceOf } from './hook.ts'
import { told } from './told.ts'

/** `pre-commit`: with `--staged` the names of what is staged come on standard input, and `.` after the last, so that none is missing. */
export async function commitHook(hook: Hook): Promise<boolean> {
  const names = hook.args[0] === '--staged' ? namesIn(readInput().toString('utf8')) : []
  const staged = names.at(-1) === '.' ? names.slice(0, -1) : null
  const workspace = await workspaceOf(hook)
  try {
    return told(hook, await checkCommit({ workspace, cwd: hook.cwd, env: hook.env }, staged), 'commit')
  } catch (error) {
    // The push is where it counts; nobody's work waits for a log that cannot be read.
    if (!isFault(error) || error.code !== 'unavailable') throw error
    hook.say(`warning: nobody can tell who holds what, so this commit is not judged: ${error.message}`)
    return true
  }
}
