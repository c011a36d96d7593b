import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { isFault } from '../../../core/fault.ts'
import { coveredBy } from './cover.ts'
import type { Client, Finding, Form, Surroundings, Target } from './client.ts'
import type { OwnLine } from './document.ts'
import { callingEntries, ourEntries, ownLines } from './document.ts'
import { callsIn, gapsIn } from './gaps.ts'
import { readAgentFile } from './file.ts'
import { handlersOf, programsIn } from './line.ts'
import { runtimeFindings } from './runtime.ts'

/** How far one form is wired. */
export interface Wiring {
  readonly form: Form
  readonly path: string
  /** `outdated`: it does all that is needed, but is not what this version installs. */
  readonly state: 'complete' | 'outdated' | 'incomplete' | 'broken'
  /** Events that have no hook of ours, or not the one that they need. */
  readonly missing: readonly string[]
}

/** What is known of the hooks of one agent, without starting it. */
export interface AgentStatus {
  readonly client: Client
  readonly wirings: readonly Wiring[]
  /** Would they run? Null when they are not installed. */
  readonly fires: boolean | null
  /** Another agent's settings through which this one is wired. */
  readonly coveredBy: string | null
  readonly findings: readonly Finding[]
}

/** Looks at every file that says whether our hooks run. Nothing is started and nothing written. */
export function statusOf(client: Client, around: Surroundings): AgentStatus {
  const wirings: Wiring[] = []
  const findings: Finding[] = []
  for (const form of client.forms) {
    if (form === 'plugin' && around.plugin === null) continue
    for (const target of client.targets(form, around)) {
      // Where the home is the repository, one file is both.
      if (wirings.some(({ path }) => path === target.path)) continue
      const wiring = wiringOf(client, form, target, around, findings)
      if (wiring !== null) wirings.push(wiring)
    }
  }
  const cover = coveredBy(client.name, around)
  const installed = wirings.map(({ path }) => path)
  const broken = wirings.filter(({ state }) => state === 'broken').map(({ path }) => path)
  if (installed.length > 0) {
    const obstacles = client.obstacles(
      around,
      installed.filter(path => !broken.includes(path)),
    )
    findings.push(...obstacles.filter(({ path }) => path === undefined || !broken.includes(path)))
    if (!around.env['HOME'])
      findings.push({ severity: 'error', message: 'HOME is not set: hooks of an agent that is started so let everything pass' })
    findings.push(...runtimeFindings(around.home, Date.now()))
  }
  if (installed.length > 0 && cover !== null)
    findings.push({
      severity: 'warning',
      message: `${client.title} may run the hooks in ${cover} as well, and then pays twice for each tool call: lh hooks uninstall ${client.name}`,
      path: cover,
    })
  const isOk = wirings.every(({ state }) => state === 'complete' || state === 'outdated')
  const fires = installed.length === 0 ? null : isOk && findings.every(({ severity }) => severity !== 'error')
  return { client, wirings, fires, coveredBy: installed.length === 0 ? cover : null, findings }
}

function wiringOf(client: Client, form: Form, target: Target, around: Surroundings, findings: Finding[]): Wiring | null {
  const { path } = target
  try {
    const { text } = readAgentFile(path)
    if (text === null) return null
    if (target.kind === 'text') {
      if (text === target.text) return { form, path, state: 'complete', missing: [] }
      const found = (message: string): void => void findings.push({ severity: 'warning', message, path })
      if (!target.isOurs(text)) {
        found('a file of that name is there that is not ours, or was changed since; it is left as it is')
        return null
      }
      for (const problem of programProblems(target.lines(text), around)) findings.push({ ...problem, path })
      found(`not what this version installs: lh hooks install ${client.name}`)
      return { form, path, state: 'outdated', missing: [] }
    }
    if (text.trim() === '') return null
    const document = { path, text, dialect: client.dialect }
    const [ours, calling] = [ourEntries(document), callingEntries(document)]
    if (Object.keys(calling).length === 0) return null
    const gaps = gapsIn(calling, target.entries)
    const calls = callsIn(calling, target.entries)
    const found = (message: string): void => void findings.push({ severity: 'error', message, path })
    const acquires = calls.has('before-tool')
    const releases = calls.has('stop') || calls.has('session-end')
    if (acquires && !releases) found('the lock is taken and never given back: no hook runs when a session stops or ends')
    if (!acquires) found('nothing runs before a tool: the lock is never taken')
    for (const gap of gaps)
      found(
        `${gap.lost ? `${gap.event} has lost its hook` : `${gap.event} is not asked about ${gap.tools.join(' ')}`}: lh hooks install ${client.name}`,
      )
    const missing = gaps.filter(({ lost }) => lost).map(({ event }) => event)
    const isWhole = acquires && releases && gaps.length === 0
    for (const problem of programProblems(Object.values(ours).flat().flatMap(handlersOf), around)) findings.push({ ...problem, path })
    findings.push(...ownLines(document).map(line => ownFinding(line, path)))
    if (isDeepStrictEqual(ours, target.entries)) return { form, path, state: 'complete', missing }
    if (isWhole) findings.push({ severity: 'warning', message: `not what this version installs: lh hooks install ${client.name}`, path })
    return { form, path, state: isWhole ? 'outdated' : 'incomplete', missing }
  } catch (error) {
    if (!isFault(error)) throw error
    // Whether ours is in it cannot be told; that nobody reads it can.
    findings.push({ severity: 'error', message: error.message, path })
    return { form, path, state: 'broken', missing: [] }
  }
}

/** A line of a user's own may keep a refusal from blocking, and beside ours it is paid for twice. */
function ownFinding({ on, at, isBeside, passes }: OwnLine, path: string): Finding {
  if (isBeside) return { severity: 'note', message: `a line of your own at ${on} calls Leasehold beside ours`, path, line: at }
  const unsure = passes ? '' : '; its exit code may be another than that of Leasehold, and then a refusal blocks nothing'
  return { severity: passes ? 'note' : 'warning', message: `at ${on} a line of your own calls Leasehold${unsure}`, path, line: at }
}

function programProblems(handlers: readonly unknown[], { env }: Surroundings): readonly Finding[] {
  const programs = new Set(handlers.flatMap(programsIn))
  const gone = [...programs].filter(program => !existsSync(program))
  if (gone.length === 0) return []
  const onPath = (env['PATH'] ?? '').split(delimiter).some(directory => directory !== '' && existsSync(join(directory, 'lh')))
  return onPath
    ? [{ severity: 'warning', message: `${gone.join(' and ')} is gone; lh on PATH runs in its place` }]
    : [{ severity: 'error', message: `${gone.join(' and ')} is gone and there is no lh on PATH: the hooks do nothing` }]
}
