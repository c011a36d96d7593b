import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { execFileSync, spawn } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, isAbsolute, join } from 'node:path'
import { policy, usage } from '../../../core/fault.ts'
import type { Client, Merged, Surroundings, Target } from './client.ts'
import { clients } from './clients.ts'
import { coveredBy } from './cover.ts'
import { ourEntries, valueOf } from './document.ts'
import { readAgentFile } from './file.ts'
import type { Launchable } from './launch.ts'
import { geminiMembers, isLaunchable, launchOf } from './launch.ts'
import { callOf, handlersOf } from './line.ts'
import type { Step } from './model/script.ts'
import { startScriptedModel } from './model/server.ts'
import type { AgentName } from './names.ts'
import { payloadOf } from './payload.ts'

/** What the canary found out. */
export interface CanaryReport {
  readonly agent: AgentName
  /** Who was tried: the agent itself, or only our hook with a payload as that agent sends it. */
  readonly tried: 'client' | 'hook'
  readonly client: { readonly path: string; readonly version: string | null } | null
  /** Why the agent itself was not tried. */
  readonly untried: string | null
  readonly steps: readonly CanaryStep[]
  /** What that means, where a step is not as it has to be; null: a deny denies. */
  readonly failure: Failure | null
}

/** What was found wrong. */
export interface Failure {
  readonly message: string
  /** It may well deny; something else was in the way of seeing that. */
  readonly unproven: boolean
}

/** What a try showed. */
type Tried = Pick<CanaryReport, 'steps' | 'failure'>

/** One thing that has to be so. */
export interface CanaryStep {
  readonly step: string
  readonly ok: boolean
  /** What was seen, where that helps. */
  readonly said: string | null
}

interface Place {
  readonly home: string
  readonly workspace: string
}

const runLimitMs = 60_000
const stranger = 'leasehold-canary'

/**
 * Proves that a deny denies: in a home and a repository made for it, somebody else's session holds the lock, and then the agent tries to
 * write a file, with the hooks as they are installed. Then the lock is free, and it has to write it. Nothing of the user's is changed, the
 * model is our own on the loopback interface, and no account is used.
 */
export async function testAgent(agent: AgentName, around: Surroundings, program: string | null): Promise<CanaryReport> {
  const client = clients[agent]
  const found = installedTarget(client, around)
  const cover = found === null ? coveredBy(agent, around) : null
  // Its hooks are those of another agent, called as that one calls them.
  if (cover !== null) throw policy(`${client.title} has no hooks of its own here: it is wired through ${cover}`, 'lh hooks test claude')
  if (found === null) throw policy(`the hooks of ${client.title} are not installed here`, `lh hooks install ${agent}`)
  const path = program === null ? onPath(agent, around.env) : absolute(program)
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'leasehold-canary-')))
  try {
    const place = { home: join(folder, 'home'), workspace: join(folder, 'workspace') }
    mkdirSync(place.home)
    mkdirSync(place.workspace)
    execFileSync('git', ['init', '-q', place.workspace], { env: baseEnv(around, place), stdio: ['ignore', 'ignore', 'pipe'] })
    const session = new Stranger(around, place)
    if (path === null || !isLaunchable(agent)) {
      const untried = isLaunchable(agent)
        ? `there is no ${agent} on PATH (--client <path> names one)`
        : `this version does not know how to run ${client.title} without an account`
      return { agent, tried: 'hook', client: null, untried, ...(await tryHook(agent, found, around, place, session)) }
    }
    const version = versionOf(path, around, place)
    const tried = await tryClient(agent, client, path, found, around, place, session)
    return { agent, tried: 'client', client: { path, version }, untried: null, ...tried }
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

interface Installed {
  readonly form: 'user' | 'project' | 'plugin'
  readonly target: Target
  readonly text: string
}

/** The file that has our hooks: what the agent would read, not what would be installed now. Throws when it is broken. */
function installedTarget(client: Client, around: Surroundings): Installed | null {
  for (const form of client.forms) {
    if (form === 'plugin' && around.plugin === null) continue
    for (const target of client.targets(form, around)) {
      const { text } = readAgentFile(target.path)
      if (text === null || text.trim() === '') continue
      const isOurs =
        target.kind === 'text'
          ? target.isOurs(text) && form !== 'plugin'
          : Object.keys(ourEntries({ path: target.path, text, dialect: client.dialect })).length > 0
      if (isOurs) return { form, target, text }
    }
  }
  return null
}

function onPath(name: string, env: NodeJS.ProcessEnv): string | null {
  const directories = (env['PATH'] ?? '').split(delimiter).filter(isAbsolute)
  return directories.map(directory => join(directory, name)).find(isExecutable) ?? null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function absolute(program: string): string {
  const path = realpathIfThere(program)
  if (path !== null && isExecutable(path)) return path
  throw usage(`--client ${program}: there is no such program`, 'give the path of its executable')
}

const realpathIfThere = (path: string): string | null => (existsSync(path) ? realpathSync(path) : null)

const baseEnv = ({ env }: Surroundings, { home }: Place): Record<string, string> => ({
  PATH: env['PATH'] ?? '/usr/bin:/bin',
  HOME: home,
  LANG: 'C.UTF-8',
})

function versionOf(path: string, around: Surroundings, place: Place): string | null {
  try {
    const said = execFileSync(path, ['--version'], {
      env: baseEnv(around, place),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: runLimitMs,
    })
    return /\d+\.\d+\.\d+[\w.-]*/.exec(said)?.[0] ?? null
  } catch {
    return null
  }
}

/** How a process ended. */
interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

function run(program: string, args: readonly string[], cwd: string, env: Record<string, string>, input = ''): Promise<Ended> {
  return new Promise(resolve => {
    let child: ChildProcessWithoutNullStreams
    try {
      child = spawn(program, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] })
    } catch (error) {
      // Some reasons why a program cannot be started are thrown, others come as an event.
      resolve({ code: null, output: '', errors: (error as Error).message })
      return
    }
    let output = ''
    let errors = ''
    const timer = setTimeout(() => child.kill('SIGKILL'), runLimitMs)
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
    child.on('error', error => {
      clearTimeout(timer)
      resolve({ code: null, output, errors: error.message })
    })
    child.on('close', code => {
      clearTimeout(timer)
      resolve({ code, output, errors })
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
  })
}

/** Somebody else's session, which holds the lock of the workspace through the same hook. */
class Stranger {
  readonly #around: Surroundings
  readonly #place: Place

  constructor(around: Surroundings, place: Place) {
    this.#around = around
    this.#place = place
  }

  take(): Promise<Ended> {
    return this.#say('before-tool', 'PreToolUse')
  }

  leave(): Promise<Ended> {
    return this.#say('session-end', 'SessionEnd')
  }

  #say(event: string, name: string): Promise<Ended> {
    const { node, hook } = this.#around.program
    const { workspace } = this.#place
    const tool = { tool_name: 'Write', tool_input: { file_path: join(workspace, 'theirs.txt'), content: '' } }
    const payload = { session_id: stranger, hook_event_name: name, cwd: workspace, ...tool }
    // We stand for the client of that session, and live as long as it has to hold.
    const env = { ...baseEnv(this.#around, this.#place), CLAUDE_PID: String(process.pid) }
    return run(node, [hook, event, '--agent', 'claude'], workspace, env, JSON.stringify(payload))
  }
}

async function tryHook(agent: AgentName, found: Installed, around: Surroundings, place: Place, session: Stranger): Promise<Tried> {
  const file = join(place.workspace, 'canary.txt')
  const call = (): Promise<Ended> => {
    const [program, args] = commandIn(agent, found, around)
    return run(program, args, place.workspace, baseEnv(around, place), JSON.stringify(payloadOf(agent, place.workspace, file)))
  }
  const taken = await session.take()
  const steps: CanaryStep[] = [tookLock(taken)]
  const denied = await call()
  const saysWhy = denied.code === 2 && denied.errors.trim() !== '' && denied.output === ''
  steps.push({
    step: 'the installed hook blocks a write, says why, and answers in the way that this agent understands',
    ok: saysWhy,
    said: told(denied),
  })
  await session.leave()
  const allowed = await call()
  steps.push({
    step: 'the lock is free: the hook lets the same write pass',
    ok: allowed.code === 0,
    said: allowed.code === 0 ? null : told(allowed),
  })
  return { steps, failure: failureOf(steps, noDeny) }
}

const noDeny = 'a deny does not deny'

/** The first step that went wrong says what it means: the lock, the deny (`second`), or what comes then. */
function failureOf(steps: readonly CanaryStep[], second: string): Failure | null {
  const wrong = steps.findIndex(({ ok }) => !ok)
  if (wrong < 0) return null
  const message = ['the lock could not be taken, so nothing is proven', second][wrong] ?? 'a write is stopped that nothing stands against'
  return { message, unproven: message !== noDeny }
}

const tookLock = ({ code, errors }: Ended): CanaryStep => ({
  step: "another session's tool call takes the lock",
  ok: code === 0,
  said: errors.trim() || null,
})

const told = ({ code, errors }: Ended): string => errors.trim() || `it ended with code ${code} and said nothing`

/** What the agent would run before a tool. */
function commandIn(agent: AgentName, { target, text }: Installed, { program }: Surroundings): readonly [string, readonly string[]] {
  if (target.kind === 'text') return [program.node, [program.hook, 'before-tool', '--agent', agent]]
  const handlers = Object.values(ourEntries({ path: target.path, text, dialect: clients[agent].dialect }))
    .flat()
    .flatMap(handlersOf)
  const handler = handlers.find(each => callOf(each)?.event === 'before-tool') as { readonly [key in 'command' | 'bash']?: string } & {
    readonly args?: readonly string[]
  }
  if (handler === undefined) throw policy(`${target.path} has no hook of ours before a tool`, `lh hooks install ${agent}`)
  return handler.args === undefined ? ['/bin/sh', ['-c', handler.command ?? handler.bash ?? 'exit 127']] : [handler.command!, handler.args]
}

async function tryClient(
  agent: Launchable,
  client: Client,
  path: string,
  found: Installed,
  around: Surroundings,
  place: Place,
  session: Stranger,
): Promise<Tried> {
  const model = await startScriptedModel()
  try {
    const file = join(place.workspace, 'canary.txt')
    const more = wire(agent, client, found, around, place)
    const write = (): Promise<Ended> => {
      const request = {
        program: path,
        home: place.home,
        url: model.url,
        steps: [writing(agent, file)],
        path: around.env['PATH'] ?? '',
        more,
      }
      const { program, args, env } = launchOf(agent, request)
      return run(program, args, place.workspace, env)
    }
    const steps: CanaryStep[] = [tookLock(await session.take())]
    const denied = await write()
    if (model.requests.length === 0 && !existsSync(file)) {
      steps.push({ step: `${client.title} itself starts, and asks its model`, ok: false, said: lastWords(denied) })
      return { steps, failure: failureOf(steps, `${client.title} did not start, so nothing is proven`) }
    }
    const hasWritten = existsSync(file)
    const isBlocked = !hasWritten && `${denied.output}${denied.errors}`.includes(stranger)
    const why = hasWritten ? `${client.title} wrote the file: the hook did not run, or was not heard` : lastWords(denied)
    steps.push({
      step: `${client.title} itself does not write while that session holds it, and is told why`,
      ok: isBlocked,
      said: isBlocked ? null : why,
    })
    rmSync(file, { force: true })
    await session.leave()
    const allowed = await write()
    const isWritten = existsSync(file)
    steps.push({ step: `the lock is free: ${client.title} writes`, ok: isWritten, said: isWritten ? null : lastWords(allowed) })
    return { steps, failure: failureOf(steps, hasWritten ? noDeny : `${client.title} ended for another reason, so nothing is proven`) }
  } finally {
    await model.close()
  }
}

const lastWords = ({ code, errors, output }: Ended): string =>
  `${code === null ? 'it was not run to its end' : `it ended with code ${code}`}: ${(errors.trim() || output.trim()).split('\n').at(-1)?.slice(0, 300) ?? ''}`

function writing(agent: Launchable, file: string): Step {
  if (agent === 'claude') return { tool: 'Write', input: { file_path: file, content: 'canary\n' } }
  if (agent === 'gemini') return { tool: 'write_file', input: { file_path: file, content: 'canary\n' } }
  return { tool: 'apply_patch', input: '*** Begin Patch\n*** Add File: canary.txt\n+canary\n*** End Patch\n' }
}

/** Puts the settings as they are installed into the canary's home; what others wired is there, but does nothing. */
function wire(agent: Launchable, client: Client, found: Installed, around: Surroundings, place: Place): readonly string[] {
  if (found.form === 'plugin') return ['--plugin-dir', around.plugin!]
  const value = valueOf({ path: found.target.path, text: found.text, dialect: client.dialect })
  const kept = Object.fromEntries(
    ['disableAllHooks', 'hooksConfig', 'description'].filter(key => value[key] !== undefined).map(key => [key, value[key]]),
  )
  const settings = { ...(agent === 'gemini' ? geminiMembers : {}), ...kept, hooks: quieted(value['hooks']) }
  // The same file, seen from the canary's home or repository.
  const there = client.targets(found.form, { ...around, env: {}, home: place.home, root: place.workspace })[0] as Merged
  mkdirSync(join(there.path, '..'), { recursive: true })
  writeFileSync(there.path, JSON.stringify(settings))
  if (agent === 'gemini' && found.form === 'project') {
    mkdirSync(join(place.home, '.gemini'), { recursive: true })
    writeFileSync(join(place.home, '.gemini', 'settings.json'), JSON.stringify(geminiMembers))
  }
  return []
}

/** Other people's hooks as hooks that do nothing; one of a kind that nobody knows stays, because it may be what switches off the file. */
function quieted(hooks: unknown): unknown {
  const quiet = (handler: unknown): unknown => {
    if (callOf(handler) !== null) return handler
    const { type } = (handler ?? {}) as { readonly type?: unknown }
    return type === 'command' || type === 'http' || type === 'mcp_tool' || type === 'prompt' || type === 'agent'
      ? { type: 'command', command: 'true' }
      : handler
  }
  const group = (entry: unknown): unknown => {
    const { hooks: handlers } = (entry ?? {}) as { readonly hooks?: unknown }
    return Array.isArray(handlers) ? { ...(entry as object), hooks: handlers.map(quiet) } : entry
  }
  return Object.fromEntries(Object.entries(hooks ?? {}).map(([event, list]) => [event, Array.isArray(list) ? list.map(group) : list]))
}
