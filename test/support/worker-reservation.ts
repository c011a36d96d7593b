import { spawn } from 'node:child_process'
import fs from 'node:fs'
import readline from 'node:readline'
import type { Answer, LaunchHold } from '../../src/coordinator.ts'
import { Coordinator } from '../../src/coordinator.ts'
import type { Holder } from '../../src/core/lease.ts'
import type { Session } from '../../src/core/session.ts'
import type { Disk } from '../../src/host/disk.ts'
import { systemClock } from '../../src/host/clock.ts'
import { kernelLock } from '../../src/host/kernel-lock.ts'
import { witnessOf } from '../../src/host/process.ts'
import { FileStore, statfsType } from '../../src/store/file/store.ts'

// One launcher of the reservation tests, in a process of its own: reserves, starts an agent that inherits the locks, and then does what
// its standard input says, one word a line. It prints one line of JSON for each thing done.

export interface ReservationTask {
  readonly directory: string
  readonly resources: readonly string[]
  readonly launchId: string
  /** Instead of a reservation. */
  readonly acquire?: boolean
  /** Starts when this file is there. */
  readonly go?: string
  /** Shell command of the agent. It inherits the locks as descriptors 3 and up. */
  readonly agent?: string
  /** Dies at this call to the disk, counted from the reservation on. */
  readonly dieAt?: number
  /** Where the count begins: at the reservation, or at the commit. */
  readonly dieFrom?: 'reserve' | 'commit'
  readonly segmentBytes?: number
}

/** What it prints after it asked. */
export interface Asked {
  readonly ok: boolean
  readonly kind: string | null
  readonly pid: number | null
  readonly ageMs: number | null
  readonly agent: number | null
}

const policy = { ttlSecs: 600, staleSecs: 600, maxIndefinitePerAgent: 1000, maxIndefinitePerRepo: 1000 }
const task = JSON.parse(process.argv[2]!) as ReservationTask
const say = (what: object): void => void fs.writeSync(1, `${JSON.stringify(what)}\n`)

let calls = Number.POSITIVE_INFINITY

/** Dies in front of a call: what was to happen then has not. */
const mortal = new Proxy(fs, {
  get(target, property) {
    const value = Reflect.get(target, property) as unknown
    if (typeof value !== 'function') return value
    return (...args: unknown[]): unknown => {
      if (calls-- === 0) process.kill(process.pid, 'SIGKILL')
      return (value as (...all: unknown[]) => unknown).apply(target, args)
    }
  },
}) as Disk

const store = new FileStore({
  directory: task.directory,
  disk: mortal,
  clock: systemClock(),
  lock: kernelLock(),
  fileSystemType: statfsType,
  shared: false,
  lockWaitMs: 60_000,
  retention: { segmentBytes: task.segmentBytes ?? 1 << 20, maxAgeMs: 1e15, maxBytes: 1e15 },
  limits: { max_indefinite_leases_per_agent: 1000, max_indefinite_leases_per_repo: 1000 },
  limitsChosen: [],
  allowUnsafeFs: false,
  resident: false,
})
const coordinator = new Coordinator(store, policy, 'reservation')
const launcher: Holder = { agentId: 'human:ann', worktreeId: 'wt:00000001', sessionId: null, witness: null }
const own: Holder = {
  agentId: `agent:${task.launchId}`,
  worktreeId: 'wt:00000001',
  sessionId: task.launchId,
  witness: witnessOf(process.pid),
}

const ask = (): Promise<Answer> =>
  task.acquire === true
    ? coordinator.acquire({ holder: own }, { resources: task.resources })
    : coordinator.reserve(
        { holder: launcher },
        { resources: task.resources, note: { launchId: task.launchId, role: 'dev', agentId: own.agentId }, ttlSecs: 30 },
      )

function told(answer: Answer, agent: number | null): Asked {
  if (answer.ok) return { ok: true, kind: null, pid: process.pid, ageMs: null, agent }
  const { refusal } = answer
  const reservation = refusal.kind === 'reserved' ? refusal.reservation : null
  return { ok: false, kind: refusal.kind, pid: reservation?.pid ?? null, ageMs: reservation?.ageMs ?? null, agent: null }
}

function startAgent({ lock, live }: LaunchHold, script: string): number {
  const fds = [...(lock?.fds ?? []), ...(live?.fd === null || live === null ? [] : [live.fd])]
  const child = spawn('/bin/sh', ['-c', script], {
    stdio: ['ignore', 'ignore', 'ignore', ...fds],
    detached: true,
    env: { ...process.env, LEASEHOLD_LIVE: live?.live ?? '', LEASEHOLD_LAUNCH_ID: task.launchId },
  })
  lock?.note(witnessOf(child.pid!))
  return child.pid!
}

const session = (hold: LaunchHold, agent: number | null): Session => ({
  sessionId: task.launchId,
  name: task.launchId,
  role: 'dev',
  origin: 'ticket-claim',
  profile: 'command',
  agentId: own.agentId,
  worktreeId: own.worktreeId,
  cwd: '/',
  witness: witnessOf(agent ?? process.pid),
  binding: hold.live === null ? null : { live: hold.live.live },
  clientSessionIds: [],
  relatedTickets: task.resources.filter(key => key.startsWith('ticket:')).map(key => key.slice('ticket:'.length)),
  peers: [],
  evidence: { kind: 'alive', seen: '', confirmed: false, at: 1 },
  resume: null,
  launchedBy: launcher.agentId,
  startedAt: Date.now(),
  state: 'live',
  endedAt: null,
  endReason: null,
  exitCode: null,
})

async function commit(hold: LaunchHold, agent: number | null): Promise<Answer> {
  if (task.dieFrom === 'commit') calls = task.dieAt ?? Number.POSITIVE_INFINITY
  const begun = session(hold, agent)
  const answer = await coordinator.launch(
    { holder: { ...own, witness: begun.witness } },
    { resources: task.resources, ttlSecs: 600, branch: null, reason: null, session: begun },
    hold,
  )
  calls = Number.POSITIVE_INFINITY
  return answer
}

if (task.go !== undefined) {
  say({ ready: true })
  // oxlint-disable-next-line no-await-in-loop -- waiting for the others is the point
  while (!fs.existsSync(task.go)) await new Promise(resolve => setTimeout(resolve, 2))
}
if (task.dieFrom === 'reserve') calls = task.dieAt ?? Number.POSITIVE_INFINITY
const answer = await ask()
calls = Number.POSITIVE_INFINITY
const hold = answer.ok ? { lock: answer.reservation, live: answer.liveLock, token: null } : null
const agent = hold === null || task.agent === undefined ? null : startAgent(hold, task.agent)
say(told(answer, agent))
if (hold === null) process.exit(0)
for await (const line of readline.createInterface({ input: process.stdin })) {
  try {
    if (line === 'commit') say(told(await commit(hold, agent), agent))
    else if (line === 'abandon') {
      await coordinator.abandon({ holder: launcher }, hold, task.resources[0] ?? null)
      say({ ok: true })
    } else break
  } catch (error) {
    say({ ok: false, kind: (error as { code?: string }).code ?? 'error', message: (error as Error).message })
  }
}
process.exit(0)
