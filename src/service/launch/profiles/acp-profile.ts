import { usage } from '../../../core/fault.ts'
import type { Judge, LaunchRequest, Prepared, Profile, Resumable, ResumeRequest, Verdict } from '../evidence.ts'
import { sessionIdOf } from './ladder.ts'

const waiting: Verdict = { state: 'waiting', step: null }

/** `runAcp` judges: the protocol is a conversation, not lines to look at. */
const idle: Judge = { stdout: () => waiting, hook: () => waiting, clientSessionId: null }

function prepare({ command, ready }: LaunchRequest): Prepared {
  if ((command[0] ?? '') === '') throw usage('launch needs a command that speaks ACP', 'lh launch … --profile acp -- gemini --acp')
  if (ready !== null) throw usage('--ready belongs to --profile command: an agent that speaks ACP says by itself how far it is')
  return { command, stdio: 'acp', hooks: 'no', judge: idle, clientSessionId: null, warnings: [] }
}

/** The same command; `runAcp` asks it for the session. Whether it still has it, only the agent knows. */
function resumable(clientSessionId: string, { command }: ResumeRequest): Resumable | null {
  return sessionIdOf(clientSessionId) === null || command.length === 0 ? null : { command, stored: null }
}

/** Any agent that speaks the Agent Client Protocol on its standard input and output. */
export const acp: Profile = { name: 'acp', prepare, resumable }
