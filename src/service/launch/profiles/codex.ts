import { join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import { codexDirectory } from '../../hooks/agent/codex.ts'
import type { HookReport, Judge, LaunchRequest, Prepared, Profile, Resumable, ResumeRequest, Verdict } from '../evidence.ts'
import { redactor } from '../words.ts'
import type { Options } from './arguments.ts'
import { Arguments, splitCommand, words } from './arguments.ts'
import { fileBelow, homeOf } from './files.ts'
import { judgeHook, Ladder, objectOf, recordOf, sessionIdOf, SessionName, textOf } from './ladder.ts'

const program = /(?:^|\/)codex(?:@[\w.-]+)?(?:\.js)?$/

const options: Options = {
  values: words(
    '-c --config --enable --disable --remote --remote-auth-token-env -m --model --local-provider -p --profile -s ' +
      '--sandbox -a --ask-for-approval -C --cd --add-dir --output-schema --color -o --output-last-message',
  ),
  lists: ['-i', '--image'],
}

const kept = words(
  '-c --config --enable --disable -m --model --oss --local-provider -p --profile -s --sandbox -a --ask-for-approval -C ' +
    '--cd --add-dir --search --full-auto --dangerously-bypass-approvals-and-sandbox --dangerously-bypass-hook-trust',
)

const headless = ['exec', 'e']
const opening = ['resume', 'fork']
/** Subcommands that start no agent. */
const tools = new Set(
  words(
    'agents login logout mcp plugin app-server remote-control completion update doctor sandbox debug apply a queue ' +
      'archive delete unarchive migrate-rollouts migrate-nfs-db cloud exec-server features help mcp-server review',
  ),
)

/** Items of a turn that only a model that calls tools makes. Text alone comes before its answer is over, and the rest may be lost. */
const toolItems: readonly unknown[] = ['command_execution', 'file_change', 'mcp_tool_call', 'collab_tool_call', 'web_search', 'todo_list']

class CodexJudge implements Judge {
  readonly #ladder: Ladder
  readonly #session: SessionName

  constructor(show: (text: string) => string, sessionId: string | null) {
    this.#ladder = new Ladder(show)
    this.#session = new SessionName(sessionId)
  }

  get clientSessionId(): string | null {
    return this.#session.id
  }

  hook(report: HookReport): Verdict {
    return report.client === 'codex' ? judgeHook(this.#ladder, this.#session, report) : this.#ladder.verdict
  }

  stdout(line: string): Verdict {
    const sent = objectOf(line)
    switch (sent?.['type']) {
      case 'thread.started':
        this.#session.say(sent['thread_id'])
        return this.#ladder.step('client started')
      case 'turn.started':
        return this.#ladder.step('prompt taken')
      case 'item.started':
      case 'item.updated':
      case 'item.completed':
        return this.#item(recordOf(sent['item']))
      case 'turn.completed':
        return recordOf(sent['usage']) === null ? this.#ladder.verdict : this.#ladder.accept('model-answer', 'the first turn was completed')
      case 'turn.failed':
        return this.#ladder.reject(textOf(recordOf(sent['error'])?.['message']) ?? 'the turn failed')
      case 'error': {
        // It tries again, or says `turn.failed` next.
        const message = textOf(sent['message'])
        return message === null ? this.#ladder.verdict : this.#ladder.step(`error: ${message}`)
      }
      default:
        return this.#ladder.verdict
    }
  }

  /** Items of the type `error` are also mere warnings. */
  #item(item: Readonly<Record<string, unknown>> | null): Verdict {
    const type = item?.['type']
    if (toolItems.includes(type)) return this.#ladder.accept('tool-call', `the model started ${type as string}`)
    if (type === 'agent_message' || type === 'reasoning') return this.#ladder.step('the model is answering')
    return this.#ladder.verdict
  }
}

function prepare(request: LaunchRequest): Prepared {
  const { command, env, ready, hooksInstalled } = request
  if (ready !== null) throw usage('--ready belongs to --profile command: Codex says by itself how far it is')
  const { program: start, args } = splitCommand(command, program)
  const given = new Arguments(args, options)
  const [first, second, third] = given.others
  if (given.has('-h', '--help', '-V', '--version') || (first !== undefined && tools.has(first)))
    throw usage(`codex ${first ?? '--help'} starts no session that could be watched`, 'codex exec --json PROMPT, or codex')
  const isHeadless = headless.includes(first ?? '')
  const streams = isHeadless && given.has('--json', '--experimental-json')
  const isResume = opening.indexOf(first ?? '') === 0 || (isHeadless && second === 'resume')
  const resumed = isResume ? (sessionIdOf(isHeadless ? third : second) ?? null) : null
  const clientSessionId = resumed !== null && !given.has('--last') && /^[0-9a-f-]{36}$/i.test(resumed) ? resumed : null
  const warnings = streams ? [] : hookWarnings(given, hooksInstalled, clientSessionId)
  return {
    command: [...start, ...args],
    stdio: streams ? 'stdout' : 'inherit',
    hooks: streams ? 'helpful' : 'needed',
    judge: new CodexJudge(redactor(env, given.others), clientSessionId),
    clientSessionId,
    warnings,
  }
}

function hookWarnings(given: Arguments, hooksInstalled: boolean, resumed: string | null): readonly string[] {
  if (given.has('--dangerously-bypass-hook-trust'))
    return hooksInstalled
      ? []
      : ['the hooks of Leasehold are not installed: without them nothing tells that Codex works (lh hooks install codex)']
  if (!hooksInstalled)
    throw usage(
      'without its hooks nothing tells that Codex works',
      `after --: codex exec --json ${resumed === null ? '' : `resume ${resumed} `}PROMPT; or lh hooks install codex, and trust them there with /hooks`,
    )
  return ['Codex runs only hooks that its user has trusted (/hooks); untrusted ones are left out without a word, and the launch times out']
}

function resumable(clientSessionId: string, { command, env }: ResumeRequest): Resumable | null {
  const id = sessionIdOf(clientSessionId)
  const { program: start, args } = splitCommand(command, program)
  const given = new Arguments(args, options)
  if (id === null || start.length === 0 || given.has('--ephemeral')) return null
  return { command: [...start, 'resume', ...given.only(kept), id], stored: storedAt(id, env) }
}

/** `sessions/<year>/<month>/<day>/rollout-<time>-<id>.jsonl`; the time is that of Codex. */
function storedAt(id: string, env: NodeJS.ProcessEnv): string {
  const sessions = join(codexDirectory({ env, home: homeOf(env) }), 'sessions')
  return (
    fileBelow(sessions, 3, name => name.startsWith('rollout-') && name.includes(`-${id}.jsonl`)) ??
    join(sessions, '*', '*', '*', `rollout-*-${id}.jsonl`)
  )
}

/** Codex: `exec --json`, else its hooks. */
export const codex: Profile = { name: 'codex', prepare, resumable }
