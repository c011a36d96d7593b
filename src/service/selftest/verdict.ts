import fs from 'node:fs'
import type { Chain } from './chain.ts'
import type { Exclusion } from './exclusion.ts'
import type { Judgement } from './ownership.ts'
import type { Toll } from './storm.ts'
import { toldTwice } from './told.ts'

/** One promise, checked. `text` says what was found, whether it holds or not. */
export interface Check {
  readonly name: string
  readonly holds: boolean
  readonly text: string
}

export interface Evidence {
  readonly toll: Toll
  readonly chain: Chain
  readonly history: Judgement
  readonly exclusion: Exclusion
  readonly counter: string
  /** Keys that could be taken and given back after everything; the same number as there are keys, if nothing is left. */
  readonly freed: number
  readonly keys: number
}

export const grouped = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ',')

const count = (number: number, noun: string): string =>
  `${grouped(number)} ${number === 1 ? noun : `${noun}${noun.endsWith('s') ? 'es' : 's'}`}`

/** At most a few examples: with no lock at all there are thousands. */
const examples = (found: readonly string[]): string =>
  `${found.slice(0, 3).join('; ')}${found.length > 3 ? `; and ${grouped(found.length - 3)} more` : ''}`

const check = (name: string, wrong: readonly string[], good: string, bad: string): Check => ({
  name,
  holds: wrong.length === 0,
  text: wrong.length === 0 ? good : `${bad}: ${examples(wrong)}`,
})

/** Every promise that the run can have broken. */
export function judge(evidence: Evidence): readonly Check[] {
  const { toll, chain, history } = evidence
  const { ownerships, twoHolders, tokensNotGrowing, earlyEvictions, strangeEnds, repeatedOpIds } = history
  return [
    check(
      'one_holder',
      [...toldTwice(toll.acks), ...twoHolders, ...strangeEnds],
      `Never two holders: ${count(ownerships.length, 'ownership')} of ${evidence.keys} keys, each ended before the next began`,
      'TWO HOLDERS',
    ),
    check(
      'acknowledged_kept',
      lostAcks(toll, chain),
      `Acknowledged is kept: ${grouped(toll.acks.length)} times the answer was yes, and each of them is in the log`,
      'ACKNOWLEDGED OPERATIONS ARE LOST',
    ),
    check(
      'chain_whole',
      chain.faults,
      `The chain is whole: ${grouped(chain.records.size)} records, every checksum, link and number is right`,
      'THE CHAIN IS BROKEN',
    ),
    check(
      'tokens_grow',
      [...tokensNotGrowing, ...repeatedOpIds],
      'Tokens only grow, and no command happened twice',
      'TOKENS OR COMMANDS REPEAT',
    ),
    check(
      'no_early_eviction',
      earlyEvictions,
      `Time is kept: ${count(history.evictions, 'lease')} of the dead and the paused evicted, none before its TTL`,
      'EVICTED TOO EARLY',
    ),
    torn(evidence),
    locked(evidence),
    check('no_faults', toll.faults, 'Nothing else failed: whoever was not killed got an answer each time', 'UNEXPECTED FAILURES'),
    check(
      'meaningful',
      tooLittle(evidence),
      `Nothing is left over: afterwards all ${evidence.keys} keys could be taken and given back`,
      'TOO LITTLE HAPPENED TO PROVE ANYTHING',
    ),
  ]
}

/** Each acknowledged record must be where the store said, the last one under the command's id, and together they say what was acknowledged. */
function lostAcks({ acks }: Toll, { records }: Chain): readonly string[] {
  return acks.flatMap(({ op, opId, seqs, leases }) => {
    const own = seqs.map(seq => records.get(seq))
    const isTold = leases.every(({ resource, token }) => own.some(record => record?.token === token && record.resources.includes(resource)))
    // A release of what was released already writes nothing.
    if (seqs.length === 0 || (isTold && own.at(-1)?.opId === opId)) return []
    return [`${op} of ${leases.map(({ resource }) => resource).join(', ')} (record ${seqs.join(', ')})`]
  })
}

function torn({ toll, history }: Evidence): Check {
  const most = toll.torn + toll.kills
  const holds = history.repairs >= toll.torn && history.repairs <= most
  const text = holds
    ? `Torn tails are mended: ${count(toll.torn, 'process')} died in the midst of a write, ${count(history.repairs, 'tail')} cut by the next writer`
    : `TORN TAILS WERE NOT MENDED: ${toll.torn} were made, the log tells of ${history.repairs} repairs`
  return { name: 'torn_tails', holds, text }
}

function locked({ toll, exclusion, counter }: Evidence): Check {
  const sum = Number(fs.readFileSync(counter, 'latin1').slice(0, 16))
  const { rounds, excluded, freedAfterMs } = exclusion
  const wrong: string[] = []
  if (excluded < rounds) wrong.push(`${rounds - excluded} of ${rounds} times a lock was granted that another process had`)
  if (freedAfterMs === null) wrong.push('a lock stayed locked after its owner was killed')
  if (toll.intruders > 0) wrong.push(`${grouped(toll.intruders)} times two processes were inside at once`)
  // Who is killed between counting and saying so has counted one more.
  if (sum < toll.counted || sum > toll.counted + toll.kills)
    wrong.push(`${grouped(toll.counted)} were counted under the lock, the sum is ${grouped(sum)}`)
  return check(
    'lock_excludes',
    wrong,
    `The kernel's lock excludes: ${grouped(toll.counted)} counted under it, none lost; free ${freedAfterMs} ms after kill -9`,
    'THE LOCK DOES NOT EXCLUDE',
  )
}

function tooLittle({ toll, freed, keys, history }: Evidence): readonly string[] {
  const wrong: string[] = []
  if (toll.kills === 0 || toll.pauses === 0 || toll.torn === 0)
    wrong.push(`${toll.kills} kills, ${toll.pauses} pauses, ${toll.torn} torn tails`)
  if (toll.acks.length < 20 || history.ownerships.length < 5) wrong.push(`${toll.acks.length} operations`)
  if (freed < keys) wrong.push(`${keys - freed} of ${keys} keys could not be taken afterwards`)
  return wrong
}
