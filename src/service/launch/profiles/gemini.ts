import { randomUUID } from 'node:crypto'
import { isAbsolute, join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import type { HookReport, Judge, LaunchRequest, Prepared, Profile, Resumable, ResumeRequest, Verdict } from '../evidence.ts'
import { redactor } from '../words.ts'
import type { Options } from './arguments.ts'
import { Arguments, splitCommand, words } from './arguments.ts'
import { beginning, fileBelow, homeOf } from './files.ts'
import { judgeHook, Ladder, longAnswer, nameOf, objectOf, recordOf, sessionIdOf, SessionName, textOf } from './ladder.ts'

const program = /(?:^|\/)gemini(?:-cli)?(?:@[\w.-]+)?(?:\.js)?$/

const options: Options = {
  values: words(
    '-m --model -p --prompt -i --prompt-interactive --approval-mode --policy --admin-policy --allowed-mcp-server-names ' +
      '--allowed-tools -e --extensions --session-file --session-id --delete-session --include-directories -o ' +
      '--output-format',
  ),
  optional: ['-w', '--worktree', '-r', '--resume'],
}

const kept = words(
  '-m --model -y --yolo --approval-mode --policy --admin-policy --allowed-mcp-server-names --allowed-tools -e ' +
    '--extensions --include-directories -s --sandbox --skip-trust',
)

/** Options and subcommands that start no agent to watch. */
const elsewhere = ['-l', '--list-extensions', '--list-sessions', '--delete-session', '-h', '--help', '-v', '--version']
const tools = new Set(['mcp', 'extensions', 'extension', 'skills', 'skill', 'hooks', 'hook', 'gemma'])

class GeminiJudge implements Judge {
  readonly #ladder: Ladder
  readonly #session: SessionName
  #answered = 0

  constructor(show: (text: string) => string, sessionId: string | null) {
    this.#ladder = new Ladder(show)
    this.#session = new SessionName(sessionId)
  }

  get clientSessionId(): string | null {
    return this.#session.id
  }

  hook(report: HookReport): Verdict {
    return report.client === 'gemini' ? judgeHook(this.#ladder, this.#session, report) : this.#ladder.verdict
  }

  stdout(line: string): Verdict {
    const sent = objectOf(line)
    switch (sent?.['type']) {
      case 'init':
        this.#session.say(sent['session_id'])
        return this.#ladder.step('client started')
      case 'message':
        return this.#message(sent)
      case 'tool_use': {
        const tool = nameOf(sent['tool_name'])
        return tool === null ? this.#ladder.verdict : this.#ladder.accept('tool-call', `the model called ${tool}`)
      }
      case 'error': {
        const message = textOf(sent['message'])
        return message === null ? this.#ladder.verdict : this.#ladder.step(`error: ${message}`)
      }
      case 'result':
        return this.#result(sent)
      default:
        return this.#ladder.verdict
    }
  }

  #message({ role, content }: Readonly<Record<string, unknown>>): Verdict {
    if (role === 'user') return this.#ladder.step('prompt taken')
    const text = textOf(content)
    if (role !== 'assistant' || text === null) return this.#ladder.verdict
    this.#answered += text.length
    if (this.#answered >= longAnswer) return this.#ladder.accept('model-answer', `${this.#answered} characters of an answer`)
    return this.#ladder.step('the model is answering')
  }

  #result({ status, error }: Readonly<Record<string, unknown>>): Verdict {
    if (status === 'error') return this.#ladder.reject(textOf(recordOf(error)?.['message']) ?? 'the turn failed')
    if (status !== 'success') return this.#ladder.verdict
    if (this.#answered === 0) return this.#ladder.reject('it ended without an answer of the model')
    return this.#ladder.accept('model-answer', 'an answer of the model')
  }
}

function prepare(request: LaunchRequest): Prepared {
  const { command, env, ready, interactive, hooksInstalled } = request
  if (ready !== null) throw usage('--ready belongs to --profile command: Gemini says by itself how far it is')
  const { program: start, args } = splitCommand(command, program)
  const given = new Arguments(args, options)
  const away = elsewhere.find(flag => given.has(flag)) ?? given.others.find((word, index) => index === 0 && tools.has(word))
  if (away !== undefined) throw usage(`gemini ${away} starts no session that could be watched`, `leave ${away} out`)
  if (given.has('--acp', '--experimental-acp')) throw usage('gemini --acp speaks ACP', 'lh launch … --profile acp -- gemini --acp')
  const prints = given.has('-p', '--prompt') || !interactive
  const streams = prints && given.value('-o', '--output-format') === 'stream-json'
  const { id, added } = sessionOf(given)
  if (!streams && !hooksInstalled)
    throw usage(
      'without its hooks nothing tells that Gemini works',
      `after --: gemini ${given.has('-r', '--resume') && id !== null ? `--resume ${id} ` : ''}-p PROMPT --output-format stream-json; or lh hooks install gemini`,
    )
  return {
    command: [...start, ...added, ...args],
    stdio: streams ? 'stdout' : 'inherit',
    hooks: streams ? 'helpful' : 'needed',
    judge: new GeminiJudge(redactor(env, [...given.others, ...prompts(given)]), id),
    clientSessionId: id,
    warnings: [],
  }
}

const prompts = (given: Arguments): readonly string[] =>
  [given.value('-p', '--prompt'), given.value('-i', '--prompt-interactive')].filter(text => text !== null)

function sessionOf(given: Arguments): { readonly id: string | null; readonly added: readonly string[] } {
  const chosen = given.value('--session-id')
  if (chosen !== null) return { id: sessionIdOf(chosen), added: [] }
  if (given.has('-r', '--resume', '--session-file')) {
    const resumed = given.value('-r', '--resume')
    return { id: resumed !== null && resumed.length === 36 ? sessionIdOf(resumed) : null, added: [] }
  }
  const id = randomUUID()
  return { id, added: ['--session-id', id] }
}

function resumable(clientSessionId: string, { command, env }: ResumeRequest): Resumable | null {
  const id = sessionIdOf(clientSessionId)
  const { program: start, args } = splitCommand(command, program)
  if (id === null || start.length === 0) return null
  return { command: [...start, '--resume', id, ...new Arguments(args, options).only(kept)], stored: storedAt(id, env) }
}

/** `tmp/<project>/chats/session-<time>-<first 8 of the id>.jsonl`; the whole id is in its first line. */
function storedAt(id: string, env: NodeJS.ProcessEnv): string {
  const configured = env['GEMINI_CLI_HOME']
  const projects = join(configured && isAbsolute(configured) ? configured : homeOf(env), '.gemini', 'tmp')
  const ending = `-${id.slice(0, 8)}.json`
  const isIt = (name: string, path: string): boolean =>
    name.startsWith('session-') && name.replace(/l$/, '').endsWith(ending) && beginning(path, 4096).includes(`"${id}"`)
  return fileBelow(projects, 2, isIt) ?? join(projects, '*', 'chats', `session-*${ending}l`)
}

/** Gemini CLI: its stream of JSON, else its hooks. */
export const gemini: Profile = { name: 'gemini', prepare, resumable }
