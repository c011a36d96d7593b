import { usage } from '../../../core/fault.ts'
import { allowLost } from '../../../service/claim/allow.ts'
import { parseToken } from '../../../service/claim/proof.ts'
import type { Run } from '../command.ts'
import { textOption } from '../command.ts'
import { openWorkspace } from '../open.ts'
import { resourceOf } from '../resource.ts'
import { callerOf, reasonOption } from '../claiming.ts'

/** `lh claim allow` */
export const allow: Run = async context => {
  const [text, reason] = [textOption(context, 'token'), reasonOption(context)]
  if (text === undefined) throw usage('allow needs --token: whose work may pass', 'the tokens there were: lh claim history <ticket>')
  if (reason === undefined) throw usage('allow needs --reason', 'add --reason "…"; it is kept in the log with your name')
  const token = parseToken(text)
  const workspace = await openWorkspace(context)
  const resource = await resourceOf(workspace, context.positionals[0]!)
  const document = await allowLost(workspace, await callerOf(context, workspace), { resource, token, reason })
  context.output.answer(document, [`work done on ${resource} with token ${token} may be pushed; recorded`])
  return 0
}
