import { isFault } from '../../core/fault.ts'
import { configuredLevel } from '../../service/enforce/commit-check.ts'
import type { Push } from '../../service/enforce/push-check.ts'
import { checkPush, unavailable } from '../../service/enforce/push-check.ts'
import { branchIn, pushedRefs, receivedRefs, serverSettings } from '../../service/enforce/git-facts.ts'
import type { Hook } from './hook.ts'
import { readInput, workspaceOf } from './hook.ts'
import { told } from './told.ts'

/** `pre-push <remote> <url>` */
export async function pushHook(hook: Hook): Promise<boolean> {
  const { cwd, env, args } = hook
  const refs = pushedRefs(readInput().toString('utf8'))
  if (refs.length === 0) return true
  const workspace = await workspaceOf(hook)
  return judged(hook, { workspace, cwd, env, refs, known: [`--remotes=${globless(args[0] ?? '')}`] })
}

/** A remote without a name is known by its address, which names no references here. */
const globless = (remote: string): string => remote.replaceAll(/[*?[\\]/g, String.raw`\$&`)

/** `pre-receive`, in a bare repository whose Git configuration says where the leases are. */
export async function receiveHook(hook: Hook): Promise<boolean> {
  const { cwd, env } = hook
  const refs = receivedRefs(readInput().toString('utf8'))
  if (refs.length === 0) return true
  const settings = serverSettings(cwd, env)
  if (settings.store === null) {
    hook.say(settings.why)
    return true
  }
  const { store, enforce, branches } = settings
  const workspace = await workspaceOf(hook, {
    store,
    ...(enforce === null ? {} : { enforce }),
    ...(branches === null ? {} : { 'enforce.branches': branches }),
  })
  if (!settings.present) {
    const objection = unavailable(`${store}, as leasehold.store names it, is not there`, 'ask whoever keeps this server')
    const strict = refs.some(({ ref }) => configuredLevel(workspace, branchIn(ref)) === 'strict')
    const text = `${objection.message}; ${objection.hint}`
    return told(hook, strict ? { refusals: [objection], warnings: [] } : { refusals: [], warnings: [text] }, 'push')
  }
  return judged(hook, { workspace, cwd, env, refs, known: ['--all'] })
}

async function judged(hook: Hook, push: Push): Promise<boolean> {
  try {
    return told(hook, await checkPush(push), 'push')
  } catch (error) {
    if (!isFault(error)) throw error
    hook.say(`warning: this push is not judged: ${error.message}`)
    return true
  }
}
