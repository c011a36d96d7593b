import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import type { LaunchRequest, Prepared, Profile, Resumable, ResumeRequest } from '../evidence.ts'
import { redactor } from '../words.ts'
import type { Options } from './arguments.ts'
import { Arguments, splitCommand, words } from './arguments.ts'
import { ClaudeJudge } from './claude-stream.ts'
import { fileBelow, homeOf } from './files.ts'
import { sessionIdOf } from './ladder.ts'

// Its stream was recorded from 0.24.4; the tests do not run it, for it needs a newer Node than Leasehold does.

const program = /(?:^|\/)qwen(?:-code)?(?:@[\w.-]+)?(?:\.js)?$/

const options: Options = {
  values: words(
    '-m --model -p --prompt -i --prompt-interactive --approval-mode -o --output-format --input-format --session-id ' +
      '--allowed-tools --include-directories --openai-api-key --openai-base-url --auth-type',
  ),
  optional: ['-r', '--resume'],
}

const kept = [
  '-m',
  '--model',
  '-y',
  '--yolo',
  '--approval-mode',
  '--allowed-tools',
  '--include-directories',
  '-s',
  '--sandbox',
  '--auth-type',
]

function prepare(request: LaunchRequest): Prepared {
  const { command, env, ready, interactive, hooksInstalled } = request
  if (ready !== null) throw usage('--ready belongs to --profile command: Qwen says by itself how far it is')
  const { program: start, args } = splitCommand(command, program)
  const given = new Arguments(args, options)
  if (given.has('-h', '--help', '-v', '--version')) throw usage('qwen --help starts no session that could be watched')
  if (given.has('--acp', '--experimental-acp')) throw usage('qwen --acp speaks ACP', 'lh launch … --profile acp -- qwen --acp')
  // A prompt without an option is answered once, in a terminal too.
  const prints = given.has('-p', '--prompt') || !interactive || (given.others.length > 0 && !given.has('-i', '--prompt-interactive'))
  const streams = prints && given.value('-o', '--output-format') === 'stream-json'
  const resumes = given.has('-r', '--resume', '-c', '--continue')
  const named = given.value('--session-id') ?? (given.has('--fork-session') ? null : given.value('-r', '--resume'))
  const fresh = named === null && !resumes ? randomUUID() : null
  const clientSessionId = fresh ?? sessionIdOf(named)
  if (!streams && !hooksInstalled)
    throw usage(
      'without its hooks nothing tells that Qwen works',
      `after --: qwen ${resumes && clientSessionId !== null ? `--resume ${clientSessionId} ` : ''}-p PROMPT --output-format stream-json; or lh hooks install qwen`,
    )
  const prompts = [given.value('-p', '--prompt'), given.value('-i', '--prompt-interactive')].filter(text => text !== null)
  return {
    command: [...start, ...(fresh === null ? [] : ['--session-id', fresh]), ...args],
    stdio: streams ? 'stdout' : 'inherit',
    hooks: streams ? 'helpful' : 'needed',
    judge: new ClaudeJudge({ client: 'qwen', errorsAreMessages: true }, redactor(env, [...given.others, ...prompts]), clientSessionId),
    clientSessionId,
    warnings: [],
  }
}

function resumable(clientSessionId: string, { command, env }: ResumeRequest): Resumable | null {
  const id = sessionIdOf(clientSessionId)
  const { program: start, args } = splitCommand(command, program)
  if (id === null || start.length === 0) return null
  const projects = join(homeOf(env), '.qwen', 'projects')
  const stored = fileBelow(projects, 2, name => name === `${id}.jsonl`) ?? join(projects, '*', 'chats', `${id}.jsonl`)
  return { command: [...start, '--resume', id, ...new Arguments(args, options).only(kept)], stored }
}

/** Qwen Code: its stream of JSON, which is Claude's, else its hooks. */
export const qwen: Profile = { name: 'qwen', prepare, resumable }
