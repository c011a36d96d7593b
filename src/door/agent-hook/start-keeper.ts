import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { settingsIn } from '../../service/session-lock/environment.ts'
import type { Keeping } from '../../service/session-lock/keep.ts'

/** Starts the process that renews a session's leases while no hook is called. Throws when it cannot be started. */
export async function startKeeper(keeping: Keeping, env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'hook.cjs'), '--keep', JSON.stringify(keeping)], {
    // It must keep no directory busy, hold no pipe of the client open, and not end with the client's group.
    cwd: '/',
    stdio: 'ignore',
    detached: true,
    env: settingsIn(env),
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  child.unref()
}
