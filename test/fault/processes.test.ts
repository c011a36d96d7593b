import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { ChildProcess } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Acknowledged } from '../support/fault.ts'
import { brokenChain, brokenHistory, brokenState, historyOf, lostAcknowledgement, scale } from '../support/fault.ts'
import type { Ended } from '../support/fault-processes.ts'
import { bundleWorker, ended, launch, openReal, withFileLimit } from '../support/fault-processes.ts'
import type { Operation } from '../support/linearizable.ts'
import { checkLinearizable, leaseModel } from '../support/linearizable.ts'
import { chanceOf, oneOf } from '../support/sim-disk.ts'
import type { LoopTask } from '../support/worker.ts'

// Many processes that die, stop and tear their writes, on a real file system.

const hrtime = (): number => Number(process.hrtime.bigint()) / 1e6
const keys = ['issue:1', 'issue:2', 'issue:3', 'issue:4', 'issue:5', 'path:src/**']
/** The store's clock counts whole milliseconds: a grant may begin up to one earlier than its call. */
const roundingMs = 1

let folder: string
let worker: string

beforeAll(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leasehold-processes-'))
  worker = await bundleWorker(folder)
})
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

interface Storm {
  readonly processes: number
  /** At least this long, and until `enough` or four times as long. */
  readonly seconds: number
  readonly enough?: (place: string) => boolean
  readonly seed: number
  readonly noLock?: boolean
}

interface Aftermath {
  readonly directory: string
  readonly operations: readonly (Operation & { readonly key: string })[]
  readonly acknowledged: readonly Acknowledged[]
  readonly ends: readonly Ended[]
  readonly counts: Record<string, number>
}

async function storm({ processes, seconds, seed, noLock = false, enough = () => true }: Storm): Promise<Aftermath> {
  const chance = chanceOf(seed)
  const place = fs.mkdtempSync(path.join(folder, 'storm-'))
  const directory = path.join(place, 'leasehold')
  const stop = path.join(place, 'stop')
  const began = hrtime()
  const elapsed = (): number => (hrtime() - began) / 1000
  let over = false
  const files: string[] = []
  const running = new Map<number, { child: ChildProcess; stopped: boolean }>()
  const ends: Promise<Ended>[] = []
  let started = 0
  const start = (slot: number): void => {
    const number = started++
    const answers = path.join(place, `answers-${number}`)
    files.push(answers)
    const limited = slot === 1
    const task: LoopTask = {
      mode: 'loop',
      directory,
      name: `w${number}`,
      seed: seed * 1000 + number,
      keys,
      stop,
      answers,
      segmentBytes: 96 * 1024,
      resident: slot % 3 === 0,
      torn: slot % 4 === 2,
      noLock,
      pauseMs: limited ? 60 : 15,
    }
    // This one meets the limit whenever the segment has grown to it, and works on when it was rotated.
    const child = launch({ worker, ...(limited ? { through: withFileLimit(48 * 1024) } : {}) }, task)
    running.set(slot, { child, stopped: false })
    ends.push(ended(child))
    child.on('close', () => {
      if (running.get(slot)?.child === child && !over) start(slot)
    })
  }
  for (let slot = 0; slot < processes; slot++) start(slot)
  let kills = 0
  let stops = 0
  for (let turn = 1; !over; turn++) {
    await new Promise(resolve => setTimeout(resolve, 50))
    over = elapsed() > 4 * seconds || (turn % 10 === 0 && elapsed() > seconds && enough(place))
    const victim = running.get(Math.floor(chance() * processes))!
    if (chance() < 0.2) {
      victim.child.kill('SIGKILL')
      kills++
    } else if (!victim.stopped && chance() < 0.06) {
      victim.stopped = true
      victim.child.kill('SIGSTOP')
      stops++
      setTimeout(
        () => {
          victim.child.kill('SIGCONT')
          victim.stopped = false
          // Whoever is stopped with the lock, or in line for it, stops everybody.
        },
        oneOf(chance, [20, 60, 150, 700]),
      )
    }
  }
  fs.writeFileSync(stop, '')
  for (const { child } of running.values()) child.kill('SIGCONT')
  const results = await Promise.all(ends)
  const parsed = files.filter(file => fs.existsSync(file)).map(readAnswers)
  const operations = parsed.flatMap(({ operations }) => operations)
  const counts: Record<string, number> = {
    started,
    kills,
    stops,
    operations: operations.length,
    lost: operations.filter(({ ret }) => ret === Number.POSITIVE_INFINITY).length,
  }
  for (const { nothing } of parsed) for (const message of nothing) counts[message] = (counts[message] ?? 0) + 1
  return { directory, operations, acknowledged: parsed.flatMap(({ acknowledged }) => acknowledged), ends: results, counts }
}

/** A worker's own account: what it asked, and what it was told before it died. */
function readAnswers(file: string): { operations: (Operation & { key: string })[]; acknowledged: Acknowledged[]; nothing: string[] } {
  const operations: (Operation & { key: string })[] = []
  const acknowledged: Acknowledged[] = []
  const nothing: string[] = []
  let asked: { f: Operation['f']; key: string; holder: string; ttl: number; call: number } | null = null
  const lost = (): void => {
    if (asked !== null) operations.push({ ...asked, ttl: asked.ttl - roundingMs, ret: Number.POSITIVE_INFINITY, out: null })
    asked = null
  }
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    let record
    try {
      record = JSON.parse(line)
    } catch {
      continue
    }
    if ('call' in record) {
      lost()
      asked = record
    } else if ('lost' in record) {
      nothing.push(`lost: ${record.lost}`.replaceAll(folder, '').slice(0, 120))
      lost()
    } else if ('nothing' in record) {
      nothing.push(
        String(record.nothing)
          .replaceAll(folder, '')
          .replaceAll(/\d{2,}/g, 'N')
          .slice(0, 120),
      )
      asked = null
    } else if (asked !== null) {
      // A release that is repeated is told yes and writes nothing; it is no operation on the lease.
      const idle = asked.f === 'release' && record.out.ok === true && record.out.wrote === 0
      if (!idle) operations.push({ ...asked, ttl: asked.ttl - roundingMs, ret: record.ret, out: record.out })
      const seqs: number[] = record.seqs ?? []
      if (seqs.length > 0)
        acknowledged.push({
          seq: seqs.at(-1)!,
          op: asked.f === 'acquire' && record.out.again === true ? 'renew' : asked.f,
          opId: record.opId,
        })
      asked = null
    }
  }
  lost()
  return { operations, acknowledged, nothing }
}

const segments = (directory: string): readonly string[] => [
  ...fs.readdirSync(path.join(directory, 'archive')).map(name => path.join(directory, 'archive', name)),
  path.join(directory, 'claims.jsonl'),
]

const allLogs = (directory: string): string =>
  segments(directory)
    .map(file => fs.readFileSync(file, 'utf8'))
    .join('')

/** Everything that is wrong with what a storm left behind. */
async function damageOf({ directory, operations, acknowledged }: Aftermath): Promise<readonly string[]> {
  const wrong: (string | null)[] = []
  for (const file of segments(directory)) {
    const bytes = fs.readFileSync(file)
    wrong.push(brokenChain(bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1), path.basename(file)))
  }
  const store = openReal(directory)
  const entries = await historyOf(store)
  wrong.push(brokenHistory(entries), lostAcknowledgement(acknowledged, entries))
  try {
    wrong.push(brokenState(entries, (await store.view()).all()))
  } catch (error) {
    wrong.push(`cannot be read: ${(error as Error).message}`)
  }
  const all = new Set(operations.map(({ key }) => key))
  for (const key of all) {
    const verdict = checkLinearizable(
      leaseModel,
      operations.filter(operation => operation.key === key),
    )
    if (verdict.ok === false) wrong.push(`${key} is not linearizable: stuck at ${JSON.stringify(verdict.stuck)}`)
    if (verdict.ok === null) wrong.push(`${key}: the checker ran out of time`)
  }
  return wrong.filter(each => each !== null)
}

describe('many processes that are killed and stopped', () => {
  it('never hold one thing twice, and lose nothing they were told', { timeout: 300_000 * Math.max(1, scale) }, async () => {
    // A busy machine takes longer to get to what this is about.
    const enough = (place: string): boolean => {
      const answers = fs
        .readdirSync(place)
        .filter(name => name.startsWith('answers-'))
        .map(name => fs.readFileSync(path.join(place, name), 'utf8'))
      const acknowledged = answers.reduce((sum, text) => sum + text.split('"wrote":1').length - 1, 0)
      const log = allLogs(path.join(place, 'leasehold'))
      return acknowledged > 400 * scale && log.includes('"op":"repair"') && answers.some(text => text.includes('disk is full'))
    }
    const after = await storm({ processes: 32, seconds: 15 * scale, seed: 1, enough })
    const entries = await historyOf(openReal(after.directory))
    const repairs = entries.filter(({ operation }) => operation.op === 'repair').length
    expect((await damageOf(after)).slice(0, 5)).toEqual([])
    // A process ends by our hand, by its own torn write, or because its time is over.
    expect(
      after.ends
        .filter(({ code, signal }) => code !== 0 && signal !== 'SIGKILL')
        .map(({ err }) => err)
        .slice(0, 2),
    ).toEqual([])
    expect(after.counts['kills']).toBeGreaterThan(20 * scale)
    expect(repairs).toBeGreaterThan(0)
    expect(after.acknowledged.length).toBeGreaterThan(300 * scale)
    expect(Object.keys(after.counts).some(message => message.includes('disk is full'))).toBe(true)
    // What is left can be worked with at once.
    const store = openReal(after.directory)
    const commit = await store.transact(view => ({ ok: false, refusal: { kind: 'not-held', resource: `seq ${view.lastSeq}` } }))
    expect(commit.lastSeq).toBe(entries.at(-1)!.seq)
  })

  it('deliberately without the lock: two owners, or a broken chain', { timeout: 120_000 }, async () => {
    const after = await storm({ processes: 8, seconds: 4, seed: 2, noLock: true })
    const wrong = await damageOf(after)
    expect(wrong.length).toBeGreaterThan(0)
  })
})
