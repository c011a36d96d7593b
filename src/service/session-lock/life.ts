import { environmentHolder, vitality, type Vitality } from '../../host/process.ts'
import type { Witness } from '../../core/lease.ts'
import type { LockRecord } from './record.ts'

/** What each agent sets for the commands it runs: its session id. An agent that sets none cannot be proven gone. */
const sessionVariable: Readonly<Record<string, string>> = {
  claude: 'CLAUDE_CODE_SESSION_ID',
  codex: 'CODEX_SESSION_ID',
  qwen: 'QWEN_CODE_SESSION_ID',
  copilot: 'COPILOT_AGENT_SESSION_ID',
}

/** The process that a record names, when it says which one was meant. */
export function witnessIn(record: LockRecord): Witness | null {
  const { host, boot_id: bootId, pid_ns: pidNs, time_ns: timeNs, pid_started_at: pidStartTicks, pid } = record
  if (typeof bootId !== 'string' || typeof pidNs !== 'string' || typeof timeNs !== 'string' || typeof pidStartTicks !== 'number' || pid < 1)
    return null
  return { host: typeof host === 'string' ? host : '?', bootId, pidNs, timeNs, pid, pidStartTicks }
}

/** Does the client process of a record run? `unknown` where it names none. */
export function clientVitality(record: LockRecord): Vitality {
  const witness = witnessIn(record)
  return witness === null ? 'unknown' : vitality(witness)
}

/** Does anything that the session started still run? Commands of a killed agent go on, in sessions of their own. */
export function childrenOf(record: LockRecord): 'present' | 'absent' | 'unknown' {
  const { agent } = record
  const variable = typeof agent === 'string' && Object.hasOwn(sessionVariable, agent) ? sessionVariable[agent] : undefined
  const witness = witnessIn(record)
  return variable === undefined || witness === null ? 'unknown' : environmentHolder(variable, record.session_id, witness.pidStartTicks)
}

/** Proven: the client that the record names is gone, and so is every process with its session's id. */
export const isProvenDead = (record: LockRecord): boolean => clientVitality(record) === 'dead' && childrenOf(record) === 'absent'
