import fs from 'node:fs'
import path from 'node:path'
import { isRebasing } from '../../service/enforce/git-facts.ts'
import { prepareMessage } from '../../service/enforce/message.ts'
import type { Workspace } from '../../service/claim/workspace.ts'
import { judgeCommitOf } from './commit.ts'
import type { Hook } from './hook.ts'
import { workspaceOf } from './hook.ts'

/** `prepare-commit-msg [--judge] <file> [<source> [<commit>]]`; `--judge`: of a cherry-pick or a revert, for which Git runs no other hook. */
export async function messageHook(hook: Hook): Promise<boolean> {
  const judge = hook.args[0] === '--judge'
  const [file, source = ''] = judge ? hook.args.slice(1) : hook.args
  if (file === undefined) return true
  const workspace = await workspaceOf(hook)
  if (judge && !isRebasing(workspace.repository) && !(await judgeCommitOf(hook, workspace, null, { parents: null }, undoOf(workspace))))
    return false
  const warning = await prepareMessage({ workspace, cwd: hook.cwd, env: hook.env }, file, source)
  if (warning !== null) hook.say(`warning: ${warning}`)
  return true
}

/** Of a single revert Git knows nothing any more once its message was refused. */
function undoOf({ repository: { gitDir } }: Workspace): string {
  if (fs.existsSync(path.join(gitDir, 'CHERRY_PICK_HEAD'))) return 'git cherry-pick --abort'
  return fs.existsSync(path.join(gitDir, 'sequencer')) ? 'git revert --abort' : 'git reset --merge'
}
