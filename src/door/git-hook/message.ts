import { prepareMessage } from '../../service/enforce/message.ts'
import type { Hook } from './hook.ts'
import { workspaceOf } from './hook.ts'

/** `prepare-commit-msg <file> [<source> [<commit>]]` */
export async function messageHook(hook: Hook): Promise<boolean> {
  const [file, source = ''] = hook.args
  if (file === undefined) return true
  const workspace = await workspaceOf(hook)
  const warning = await prepareMessage({ workspace, cwd: hook.cwd, env: hook.env }, file, source)
  if (warning !== null) hook.say(`warning: ${warning}`)
  return true
}
