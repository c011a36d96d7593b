import type { Run } from '../command.ts'
import { switchOption } from '../command.ts'
import { prepareRepository } from '../../../service/claim/prepare.ts'
import { ensureAttributes } from '../../../service/ticket/attributes.ts'
import { openWorkspace } from '../open.ts'

/** `lh init`: makes what is missing, and says what is next. */
export const init: Run = async context => {
  const workspace = await openWorkspace(context, { allowUnsafeFs: switchOption(context, 'allow-unsafe-fs') })
  const { made, kept, agent } = await prepareRepository(workspace, ensureAttributes)
  // A bare repository has no files, and so no tickets.
  const first = workspace.repository.root === null ? [] : ['lh ticket create --title "…"']
  const next = [...first, 'lh claim acquire <resource>', 'lh status', 'lh demo']
  context.output.answer({ ok: true, made, kept, agent, store: workspace.store.location, next }, [
    ...made.map(what => `made  ${what}`),
    ...kept.map(what => `kept  ${what}`),
    agent === null ? 'you have no agent id yet: lh config set agent.id agent:me --user, or LEASEHOLD_AGENT_ID' : `you are ${agent}`,
    '',
    `next: ${next.join('   ')}`,
  ])
  return 0
}
