import { writeSync } from 'node:fs'
import { answerHook, failure, type HookCall } from '../../service/session-lock/hook.ts'
import { elapsedMs } from '../../service/session-lock/moment.ts'
import { clients, hookEvents, type Client, type HookEvent } from '../../service/session-lock/payload.ts'
import { readInput } from './input.ts'

// What installed hooks call. It answers by its exit code: 0 lets the tool run, 2 with a reason on standard error blocks it, and nothing
// is ever written to standard output: some clients take whatever stands there for another answer.

/** From the start of the process. Clients are told to wait 3 s. */
const deadlineMs = 2500

/** Answers one hook. Never throws, and resolves in time whatever happens. */
export async function hook(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  let outOfTime: (error: Error) => void = () => undefined
  const deadline = new Promise<never>((_resolve, reject) => (outOfTime = reject))
  // Everything but the leases asks the time itself; a timer would cost each tool call a millisecond.
  const call = callOf(argv, env, () => {
    setTimeout(() => outOfTime(late()), Math.max(0, deadlineMs - elapsedMs()))
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.once(event, outOfTime)
  })
  let reason: string | null
  try {
    const payload = readInput(deadlineMs)
    const launch = env['LEASEHOLD_LAUNCH_REPORT']
    if (launch) (await import('./report.ts')).report(launch, call, payload)
    reason = await Promise.race([answerHook({ ...call, payload }), deadline])
  } catch (error) {
    reason = await failure(call, error instanceof Error ? error.message : String(error)).catch(() => null)
  }
  if (reason === null) return 0
  say(reason)
  return 2
}

function callOf(argv: readonly string[], env: NodeJS.ProcessEnv, watch: () => void): HookCall {
  const at = argv.indexOf('--agent')
  const named = at < 0 ? undefined : argv[at + 1]
  return {
    event: hookEvents.find((event): event is HookEvent => event === argv[0]) ?? null,
    hint: clients.find((client): client is Client => client === named) ?? null,
    payload: null,
    env,
    cwd: whereWeAre(env),
    deadline: deadlineMs,
    openLeases: async (...about) => {
      watch()
      return (await import('./leases.ts')).openLeases(...about)
    },
    keepOn: async keeping => (await import('./start-keeper.ts')).startKeeper(keeping, env),
  }
}

const late = (): Error => new Error(`no answer after ${deadlineMs} ms`)

/** The directory may have been removed under us. */
function whereWeAre(env: NodeJS.ProcessEnv): string {
  try {
    return process.cwd()
  } catch {
    return env['PWD'] ?? '/'
  }
}

/** Standard error may be closed already. */
function say(reason: string): void {
  try {
    writeSync(2, `${reason}\n`)
  } catch {
    // The exit code says it too.
  }
}
