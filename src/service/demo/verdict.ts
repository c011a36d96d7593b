import { spawnSync } from 'node:child_process'
import type { Entry } from '../../core/operation.ts'
import type { Wire } from '../../core/wire.ts'
import { judgeHistory } from '../selftest/ownership.ts'
import type { Judgement, Ownership } from '../selftest/ownership.ts'
import type { Moment, Seen } from './play.ts'
import type { Stage } from './stage.ts'
import { tickets, ttlSecs } from './stage.ts'

/** One claim of the demo, checked. `text` says what was found, whether it holds or not. */
export interface Check {
  readonly name: string
  readonly holds: boolean
  readonly text: string
}

export interface Verdict {
  readonly checks: readonly Check[]
  readonly proven: Wire
}

/** A commit that says a ticket is done. */
interface Commit {
  readonly ticket: string
  readonly token: number
}

/** Looks at the log, at Git and at what the agents were told, and says for each claim of the demo whether it is true. */
export function judge(stage: Stage, seen: Seen, entries: readonly Entry[], lh: string): Verdict {
  const history = judgeHistory(entries)
  const parts = [
    exclusive(seen, history, entries),
    takenOver(seen, history),
    fenced(seen),
    doneOnce(stage, history),
    verified(stage, lh, entries),
    orderly(seen),
  ]
  const checks = parts.flatMap(({ check }) => (check === null ? [] : [check]))
  return { checks, proven: { holds: checks.every(({ holds }) => holds), ...Object.assign({}, ...parts.map(({ facts }) => facts)) } }
}

interface Part {
  readonly check: Check | null
  readonly facts: Wire
}

const countOf = (moments: readonly Moment[], event: Moment['event']): number => moments.filter(each => each.event === event).length
const times = (count: number): string => (count === 1 ? 'once' : count === 2 ? 'twice' : `${count} times`)
const nameOf = (agentId: string): string => agentId.replace('agent:', '')

function exclusive(seen: Seen, history: Judgement, entries: readonly Entry[]): Part {
  const { ownerships, mostHolders, twoHolders, tokensNotGrowing, earlyEvictions, strangeEnds, repeatedOpIds } = history
  const wrong = [...twoHolders, ...tokensNotGrowing, ...earlyEvictions, ...strangeEnds, ...repeatedOpIds]
  const granted = seen.reports.filter(({ event }) => event === 'granted')
  const lost = granted.filter(({ token, lease }) => !ownerships.some(each => each.token === token && each.leaseId === lease))
  const refused = countOf(seen.moments, 'busy')
  const holds = wrong.length === 0 && lost.length === 0 && mostHolders === 1 && ownerships.length > tickets.length
  const facts = {
    claims: ownerships.length,
    most_holders_at_once: mostHolders,
    busy_refusals: refused,
    renewals: countOf(seen.moments, 'renew'),
    records: entries.length,
  }
  const text = holds
    ? `Never two holders: ${ownerships.length} claims by 3 agents are in the log, at most one per ticket at any moment; ${refused} came second and ${refused === 1 ? 'was' : 'were'} told who has it.`
    : `One holder at a time does NOT hold: ${[...wrong, ...lost.map(({ ticket }) => `the claim of ${ticket} is not in the log`)].join('; ') || 'too few claims were seen'}.`
  return { check: { name: 'one_holder', holds, text }, facts }
}

function takenOver({ victim }: Seen, { ownerships }: Judgement): Part {
  const dead = ownerships.find(({ token }) => token === victim?.token)
  const next = ownerships.find(({ resource, token }) => resource === dead?.resource && token > (victim?.token ?? 0))
  if (victim === null || dead === undefined || next === undefined) {
    return {
      check: {
        name: 'takeover',
        holds: false,
        text: `The takeover did NOT happen: ${victim === null ? 'nobody was killed' : `nobody took ${victim.ticket} over`}.`,
      },
      facts: {},
    }
  }
  const silentSecs = (next.startedM - dead.lastBeatM) / 1000
  const holds = victim.signal === 'SIGKILL' && next.agentId !== dead.agentId && dead.endedBy === 'auto-evict' && silentSecs >= ttlSecs
  const facts = {
    killed: { agent: victim.agent, ticket: victim.ticket, token: victim.token, pid: victim.pid, signal: victim.signal },
    takeover: { agent: nameOf(next.agentId), ticket: victim.ticket, token: next.token, after_secs: silentSecs, ttl_secs: ttlSecs },
  }
  const text = holds
    ? `A crash blocks nobody for long: ${victim.agent} was killed (SIGKILL) holding ${victim.ticket}; ${nameOf(next.agentId)} took it over ${silentSecs.toFixed(1)} s after the last sign of life (TTL ${ttlSecs} s). Nobody cleaned up.`
    : `The takeover was NOT in order: ${describe(dead)}, then ${describe(next)}, after ${silentSecs} s; the killed process ended with ${victim.signal}.`
  return { check: { name: 'takeover', holds, text }, facts }
}

const describe = ({ agentId, token, endedBy }: Ownership): string => `${nameOf(agentId)} #${token} ended by ${endedBy ?? 'nothing'}`

function fenced({ moments, victim }: Seen): Part {
  const refused = countOf(moments, 'refused')
  const accepted = countOf(moments, 'accepted')
  const holds = refused === 2 && accepted === 0
  const newest = moments.find(({ event }) => event === 'takeover')?.token
  const text = holds
    ? `A zombie cannot finish: ${victim?.agent} came back with its old token #${victim?.token} and was refused ${times(refused)} (exit 6), because the ticket is at #${newest} now.`
    : `A stale token was NOT refused: ${refused} refusals, ${accepted} times accepted.`
  return {
    check: { name: 'stale_token', holds, text },
    facts: { stale_token: { token: victim?.token ?? null, attempts: refused + accepted, refused, exit_code: 6 } },
  }
}

function doneOnce(stage: Stage, { ownerships }: Judgement): Part {
  const commits = commitsOf(stage)
  const wrong = tickets.flatMap(({ name }) => {
    const own = commits.filter(({ ticket }) => ticket === name)
    const owner = ownerships.find(({ resource, token }) => resource === `ticket:${name}` && token === own[0]?.token)
    return own.length === 1 && owner !== undefined ? [] : [`${name} has ${own.length} commits`]
  })
  const once = tickets.length - wrong.length
  const holds = wrong.length === 0 && commits.length === tickets.length
  const text = holds
    ? `No work was done twice and none was lost: ${tickets.length} tickets, ${commits.length} Git commits, each with the token of its claim.`
    : `The work was NOT done exactly once: ${wrong.join('; ') || `${commits.length} commits for ${tickets.length} tickets`}.`
  return {
    check: { name: 'done_exactly_once', holds, text },
    facts: { tickets: tickets.length, done_exactly_once: once, commits: commits.length },
  }
}

/** What Git says is done, on any branch. */
function commitsOf(stage: Stage): readonly Commit[] {
  const commits = stage.git('log', '--all', '--format=%s|%b%x00').split('\0')
  return commits.flatMap(text => {
    const match = /^done: (\w+)\|Leasehold-Token: (\d+)/.exec(text.trim())
    return match === null ? [] : [{ ticket: match[1]!, token: Number(match[2]) }]
  })
}

/** Lets \`lh verify\` check every record, as anybody can. */
function verified(stage: Stage, lh: string, entries: readonly Entry[]): Part {
  const { status, stdout, stderr } = spawnSync(process.execPath, [lh, 'verify', '--json'], {
    cwd: stage.repository,
    env: stage.env,
    encoding: 'utf8',
  })
  const answer = parsed(stdout)
  const records = Number(answer['records'] ?? 0)
  const gaps = entries.filter(({ seq }, index) => seq !== index + 1).length
  const holds = status === 0 && answer['ok'] === true && records >= entries.length && entries.length > 0 && gaps === 0
  const text = holds
    ? `The log is whole: lh verify read ${records} records; every checksum and every link to the record before is right.`
    : `The log could NOT be verified: lh verify ended with ${status}: ${(stdout + stderr).trim().slice(0, 300)}`
  return {
    check: { name: 'log_verified', holds, text },
    facts: { log: { records, segments: answer['segments'] ?? null, verified: holds } },
  }
}

function parsed(text: string): Wire {
  try {
    return JSON.parse(text) as Wire
  } catch {
    return {}
  }
}

/** Nothing to say when all went well; otherwise what went wrong among the agents. */
function orderly({ troubles, moments }: Seen): Part {
  const lost = moments.filter(({ event }) => event === 'lost').map(({ agent, ticket }) => `${agent} lost ${ticket}`)
  const wrong = [...troubles, ...lost]
  if (wrong.length === 0) return { check: null, facts: {} }
  return {
    check: { name: 'agents', holds: false, text: `The agents did NOT run as they should: ${wrong.join('; ')}.` },
    facts: { troubles: wrong },
  }
}
