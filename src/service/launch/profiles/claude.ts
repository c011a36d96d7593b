import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { usage } from '../../../core/fault.ts'
import { claudeDirectory } from '../../hooks/agent/claude.ts'
import type { Program } from '../../hooks/agent/client.ts'
import { shellLine } from '../../hooks/agent/line.ts'
import type { LaunchRequest, Prepared, Profile, Resumable, ResumeRequest } from '../evidence.ts'
import { redactor } from '../words.ts'
import type { Options } from './arguments.ts'
import { Arguments, splitCommand, words } from './arguments.ts'
import { ClaudeJudge } from './claude-stream.ts'
import { fileBelow, homeOf } from './files.ts'
import { sessionIdOf } from './ladder.ts'

const program = /(?:^|\/)(?:claude|claude-code)(?:@[\w.-]+)?(?:\.exe)?$|claude-code\/cli\.js$/

const options: Options = {
  values: words(
    '--agent --agents --append-system-prompt --autocompact --debug-file --effort --environment --fallback-model ' +
      '--input-format --json-schema --max-budget-usd --max-turns --model -n --name --output-format --permission-mode ' +
      '--permission-prompt-tool --permission-prompts --plugin-dir --plugin-url --session-id --setting-sources --settings ' +
      '--system-prompt --system-prompt-file --append-system-prompt-file',
  ),
  lists: words('--add-dir --allowedTools --allowed-tools --betas --disallowedTools --disallowed-tools --file --mcp-config --tools'),
  optional: ['-d', '--debug', '--cloud', '--from-pr', '--prompt-suggestions', '--remote-control', '-r', '--resume', '-w', '--worktree'],
}

/** What a session is opened again with: how it may work, not what it was told. */
const kept = words(
  '--add-dir --agent --agents --allowedTools --allowed-tools --append-system-prompt --dangerously-skip-permissions ' +
    '--disallowedTools --disallowed-tools --effort --fallback-model --mcp-config --model --permission-mode --plugin-dir ' +
    '--setting-sources --settings --strict-mcp-config --system-prompt --tools',
)

/** Options with which there is no agent of ours to watch. */
const elsewhere = ['--bg', '--background', '--cloud', '--desktop', '-h', '--help', '-v', '--version', '--environment']

const resuming = ['-r', '--resume', '-c', '--continue', '--from-pr', '--teleport']

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Events that tell how far a launch is. Each only reports: a user who has not installed the session lock does not get it by a launch. */
const reporting = ['SessionStart', 'UserPromptSubmit', 'PreToolUse', 'Stop', 'StopFailure', 'SessionEnd']

function prepare(request: LaunchRequest): Prepared {
  const { program: start, args } = splitCommand(request.command, program)
  const given = new Arguments(args, options)
  refuse(request, given)
  const prints = given.has('-p', '--print') || !request.interactive
  const streams = prints && given.value('--output-format') === 'stream-json'
  const added: string[] = []
  const warnings: string[] = []
  const clientSessionId = sessionOf(given, added)
  if (!streams) addHooks(request, given, added, warnings)
  const show = redactor(request.env, given.others)
  return {
    command: [...start, ...added, ...args],
    stdio: streams ? 'stdout' : 'inherit',
    hooks: streams ? 'helpful' : 'needed',
    judge: new ClaudeJudge({ client: 'claude', errorsAreMessages: false }, show, clientSessionId),
    clientSessionId,
    warnings,
  }
}

function refuse({ ready }: LaunchRequest, given: Arguments): void {
  if (ready !== null) throw usage('--ready belongs to --profile command: Claude Code says by itself how far it is')
  const away = elsewhere.find(flag => given.has(flag))
  if (away !== undefined) throw usage(`claude ${away} starts no session that could be watched`, `leave ${away} out`)
}

/** A new session's id is chosen here, so that it is known how to open it again before anything can fail. */
function sessionOf(given: Arguments, added: string[]): string | null {
  const chosen = given.value('--session-id')
  if (chosen !== null) return sessionIdOf(chosen)
  if (!given.has(...resuming)) {
    const id = randomUUID()
    added.push('--session-id', id)
    return id
  }
  const resumed = given.value('-r', '--resume')
  return resumed !== null && uuid.test(resumed) && !given.has('--fork-session') ? resumed : null
}

function addHooks({ hooksInstalled, program: own }: LaunchRequest, given: Arguments, added: string[], warnings: string[]): void {
  const off = ['--bare', '--safe-mode'].find(flag => given.has(flag))
  if (off !== undefined)
    throw usage(`claude ${off} runs no hooks, and nothing else tells that it works`, 'add -p --output-format stream-json --verbose')
  if (!given.has('--settings')) {
    // The hooks that are installed report the rest; a failed turn they leave out.
    added.push('--settings', hookSettings(own, hooksInstalled ? ['StopFailure'] : reporting))
  } else if (!hooksInstalled) {
    warnings.push(
      'the command has --settings of its own and the hooks are not installed: without them nothing tells that it works (lh hooks install claude)',
    )
  }
}

/** Settings for one launch. `refresh` reports and renews; it takes no lock and blocks nothing. */
export function hookSettings(own: Program, events: readonly string[]): string {
  const line = shellLine(own, 'refresh', 'claude')
  const hook = { type: 'command', command: '/bin/sh', args: ['-c', line], timeout: 3 }
  return JSON.stringify({ hooks: Object.fromEntries(events.map(event => [event, [{ hooks: [hook] }]])) })
}

function resumable(clientSessionId: string, { command, env }: ResumeRequest): Resumable | null {
  const id = sessionIdOf(clientSessionId)
  const { program: start, args } = splitCommand(command, program)
  const given = new Arguments(args, options)
  if (id === null || start.length === 0 || given.has('--no-session-persistence')) return null
  // The hooks of that launch were for that launch.
  const ours = given.value('--settings')?.startsWith('{"hooks":') === true && given.value('--settings')?.includes('--agent claude') === true
  const how = given.only(ours ? kept.filter(flag => flag !== '--settings') : kept)
  return { command: [...start, '--resume', id, ...how], stored: storedAt(id, env) }
}

/** One file a session, in a directory that Claude names after the one that it was started in. */
function storedAt(id: string, env: NodeJS.ProcessEnv): string {
  const projects = join(claudeDirectory({ env, home: homeOf(env) }), 'projects')
  const name = `${id}.jsonl`
  return fileBelow(projects, 0, (_, directory) => existsSync(join(directory, name)))?.concat(`/${name}`) ?? join(projects, '*', name)
}

/** Claude Code: its stream of JSON, else its hooks. */
export const claude: Profile = { name: 'claude', prepare, resumable }
