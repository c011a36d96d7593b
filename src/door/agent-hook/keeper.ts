import { runtimeDirectory } from '../../service/session-lock/binding.ts'
import { note } from '../../service/session-lock/journal.ts'
import { keepLeases, type Keeping } from '../../service/session-lock/keep.ts'
import { openLeases } from './leases.ts'

/** `hook.cjs --keep …`, which only a hook starts. Never throws: nobody waits for it, and the log is where it is heard. */
export async function keeper(text: string | undefined, env: NodeJS.ProcessEnv): Promise<number> {
  try {
    await keepLeases(JSON.parse(text ?? '') as Keeping, env, openLeases)
    return 0
  } catch (error) {
    try {
      note(runtimeDirectory(env), `- background ${(error as Error).message.split('\n')[0] ?? ''}`)
    } catch {
      // Without a home there is no place for it.
    }
    return 1
  }
}
