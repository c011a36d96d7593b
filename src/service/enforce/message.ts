import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { ancestors } from '../../host/process.ts'
import type { Reading } from '../../store/store.ts'
import { resolveSession } from '../identity/agent.ts'
import { readHeld } from '../identity/held.ts'
import type { HookSetting } from './commit-check.ts'
import { configuredLevel } from './commit-check.ts'
import { commentSign, currentBranch, isRebasing, stagedTicketFiles } from './git-facts.ts'
import { pickTrio } from './pick.ts'
import { withTrio } from './trailers.ts'

/**
 * Puts the trailers of the ownership that this commit is made under into its message. Returns what a person should know, or null. The
 * trailers come from what was granted, never from the log: work of a lost lease says so itself.
 */
export async function prepareMessage(setting: HookSetting, file: string, source: string): Promise<string | null> {
  const { workspace, cwd, env } = setting
  const { repository } = workspace
  if (configuredLevel(workspace, currentBranch(repository)) === 'off') return null
  const { entries } = readHeld(repository)
  // Only what is ambiguous, or a group, needs the log; and then it is looked at once.
  const view = entries.size > 1 || env['LEASEHOLD_TOKEN'] ? await viewOf(setting) : null
  const { trio, warning } = pickTrio({
    env,
    entries,
    session: sessionOf(env),
    staged: () => stagedTicketFiles(cwd, env),
    leaseIdOf: (resource, token) => {
      const lease = view?.lease(resource)
      return lease?.token === token ? lease.leaseId : null
    },
    isCurrent: (resource, token) => view?.lease(resource)?.token === token,
  })
  if (trio === null) return warning
  const path = resolve(cwd, file)
  const bytes = readFileSync(path)
  // Byte by byte, so that no message loses a letter, whatever its encoding.
  const message = bytes.toString('latin1')
  // No editor will be shown: then every line is the message, and one that is empty stays so for Git to refuse.
  const asIs = env['GIT_EDITOR'] === ':'
  if (asIs && message.trim() === '') return null
  const changed = withTrio(message, trio, {
    comment: asIs ? null : commentSign(cwd, env, message),
    // Others' commits pass through a rebase, too.
    replaceOnly: source !== '' && isRebasing(repository),
  })
  if (changed !== message) writeFileSync(path, Buffer.from(changed, 'latin1'))
  return null
}

async function viewOf({ workspace }: HookSetting): Promise<Reading | null> {
  try {
    return await workspace.coordinator.view()
  } catch {
    return null
  }
}

function sessionOf(env: NodeJS.ProcessEnv): string | null {
  try {
    return resolveSession(env, () => ancestors(process.pid))?.sessionId ?? null
  } catch {
    return null
  }
}
