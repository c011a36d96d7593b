import { usage } from '../../../core/fault.ts'
import type { HookReport, Judge, LaunchRequest, Prepared, Profile, Verdict } from '../evidence.ts'
import { redactor } from '../words.ts'
import { judgeHook, Ladder, SessionName } from './ladder.ts'

/** Of a longer line only the beginning is looked at: an expression may need time that grows with the square of it, or worse. */
const longestLine = 4096

/** How long an expression may take for one line, milliseconds: `^(a+)+$` takes minutes for forty letters, and no time limit would count. */
const longestLookMs = 200

let look: ((regex: RegExp, line: string) => unknown) | undefined

/** A place of its own is the only one where an expression can be stopped. */
function looker(): (regex: RegExp, line: string) => unknown {
  const { createContext, Script } = process.getBuiltinModule('node:vm')
  const [place, script] = [createContext({}), new Script('regex.test(line)')]
  return (regex, line) => script.runInContext(Object.assign(place, { regex, line }), { timeout: longestLookMs })
}

/** Does it match? One that takes too long does not. */
function matches(regex: RegExp, line: string): boolean {
  look ??= looker()
  try {
    return look(regex, line) === true
  } catch {
    return false
  }
}

/** Judges `--ready output=…` and `--ready hook`. What `fd`, `http` and `alive` wait for, the launcher sees. */
class CommandJudge implements Judge {
  readonly #ladder: Ladder
  readonly #session = new SessionName(null)
  readonly #ready: LaunchRequest['ready']

  constructor({ ready, env }: LaunchRequest) {
    this.#ready = ready
    this.#ladder = new Ladder(redactor(env))
  }

  get clientSessionId(): string | null {
    return this.#session.id
  }

  stdout(line: string): Verdict {
    const { kind } = this.#ready ?? {}
    if (kind !== 'output' || !this.#ladder.isOpen) return this.#ladder.verdict
    const { regex } = this.#ready as { readonly regex: RegExp }
    // With the flag `g` it would go on where it last ended.
    regex.lastIndex = 0
    return matches(regex, line.slice(0, longestLine))
      ? this.#ladder.accept('output', `a line that matches /${regex.source}/`)
      : this.#ladder.verdict
  }

  /** Whichever client it is: the report has come with this launch's id. */
  hook(report: HookReport): Verdict {
    return this.#ready?.kind === 'hook' ? judgeHook(this.#ladder, this.#session, report) : this.#ladder.verdict
  }
}

function prepare(request: LaunchRequest): Prepared {
  const { command, ready } = request
  if ((command[0] ?? '') === '') throw usage('launch needs a command', 'lh launch <ticket> --role ROLE -- CMD…')
  return {
    command,
    stdio: ready?.kind === 'output' ? 'stdout' : 'inherit',
    hooks: ready?.kind === 'hook' ? 'needed' : 'no',
    judge: new CommandJudge(request),
    clientSessionId: null,
    warnings: [],
  }
}

/** Any command; what it calls a session nobody knows, so it cannot be opened again. */
export const command: Profile = { name: 'command', prepare, resumable: () => null }
