import fs from 'node:fs'
import { isFault } from '../../core/fault.ts'
import { refusedCode } from '../../service/config/enforce-level.ts'
import { commitHook, mergeHook, patchHook } from './commit.ts'
import type { Hook, Open } from './hook.ts'

// What the installed scripts start: `lh git-hook <name> …`, a command for Git and not for people.

/** A commit comes most often: only its code is loaded with this file. */
const hooks: Readonly<Record<string, (hook: Hook) => Promise<boolean>>> = {
  'pre-commit': commitHook,
  'pre-merge-commit': mergeHook,
  'pre-applypatch': patchHook,
  'prepare-commit-msg': async hook => (await import('./message.ts')).messageHook(hook),
  'pre-push': async hook => (await import('./push.ts')).pushHook(hook),
  'pre-receive': async hook => (await import('./push.ts')).receiveHook(hook),
}

/** Runs a hook and resolves to its exit code. What goes wrong in here stops nobody's work: one line, and it passes. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv, open: Open): Promise<number> {
  const [name = '', ...args] = argv
  const hook = Object.hasOwn(hooks, name) ? hooks[name] : undefined
  if (hook === undefined) {
    say(`there is no git hook "${name}"; this command is for the scripts that lh hooks install git writes`)
    return 2
  }
  try {
    return (await hook({ args, env, cwd: process.cwd(), open, say })) ? 0 : refusedCode
  } catch (error) {
    const hint = isFault(error) && error.hint !== undefined && error.hint !== '' ? ` (${error.hint})` : ''
    say(`the ${name} hook judged nothing: ${error instanceof Error ? error.message : String(error)}${hint}`)
    return 0
  }
}

/** Who reads it may be gone, or slow; neither is a reason to fail. */
function say(text: string): void {
  // oxlint-disable-next-line no-control-regex -- what others wrote must not move the cursor
  const bytes = Buffer.from(
    `lh: ${text.replaceAll(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '?')}\n`,
  )
  for (let done = 0; done < bytes.length;) {
    try {
      done += fs.writeSync(2, bytes, done)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
