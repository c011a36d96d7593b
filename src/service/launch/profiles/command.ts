import { usage } from '../../../core/fault.ts'
import type { HookReport, Judge, LaunchRequest, Prepared, Profile, Verdict } from '../evidence.ts'
import { redactor } from '../words.ts'
import { judgeHook, Ladder, SessionName } from './ladder.ts'

/** Of a longer line only the beginning is looked at: an expression may need time that grows with the square of it, or worse. */
const longestLine = 4096

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
    return regex.test(line.slice(0, longestLine))
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
