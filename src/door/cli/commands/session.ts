import { openCommand } from '../../../service/claim/open-session.ts'
import { findAnySession } from '../../../service/session/find.ts'
import { listedSessions, seeSession, sessionDocument, sessionListDocument } from '../../../service/session/report.ts'
import type { SeenSession } from '../../../service/session/report.ts'
import type { Run } from '../command.ts'
import { sessionTable } from '../launched.ts'
import { openWorkspace } from '../open.ts'
import { columns, paint, paintStanding, printable } from '../text.ts'

/** `lh session list` */
export const list: Run = async context => {
  const workspace = await openWorkspace(context)
  const view = await workspace.coordinator.view()
  for (const warning of view.warnings) context.output.warn(warning)
  const sessions = listedSessions(view)
  context.output.answer(
    () => sessionListDocument(sessions, view),
    () => (sessions.length === 0 ? ['no sessions'] : sessionTable(sessions, context.output.colour)),
  )
  return 0
}

/** `lh session show` */
export const show: Run = async context => {
  const workspace = await openWorkspace(context)
  const view = await workspace.coordinator.view()
  for (const warning of view.warnings) context.output.warn(warning)
  const seen = seeSession(await findAnySession(workspace.store, view, context.positionals[0]!), view)
  context.output.answer(
    () => sessionDocument(seen, view),
    () => described(seen, context.output.colour),
  )
  return 0
}

function described({ session, standing, facts, leases, open }: SeenSession, colour: boolean): readonly string[] {
  // Whoever is told to look at it is here.
  const next = open === openCommand(session, 'live') ? `to end it: lh session end ${session.name}` : (open ?? '')
  const rows = [
    ['session', session.sessionId],
    ['role', session.role],
    ['profile', session.profile],
    ['agent', session.agentId],
    ['works in', `${session.cwd} (${session.worktreeId})`],
    ['tickets', session.relatedTickets.join(', ')],
    ['peers', session.peers.join(', ')],
    ['client calls it', session.clientSessionIds.join(', ')],
    ['launched by', session.launchedBy],
    ['holds', leases.map(({ resource, token }) => `${resource} (token ${token})`).join(', ')],
    ...facts.map((fact, at) => [at === 0 ? 'facts' : '', fact]),
    ['next', next],
  ]
  return [
    `${paint(colour, 'bold', printable(session.name))} is ${paintStanding(colour, standing)}`,
    ...columns(rows.filter(([, value]) => value !== '').map(([name = '', value = '']) => [`  ${name}`, printable(value)])),
  ]
}
