import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { ancestors } from '../../host/process.ts'
import { isClient } from '../identity/agent.ts'
import type { HeldEntry } from '../identity/held.ts'
import { LockDirectory, removeOwn, runtimeDirectory } from './binding.ts'
import { Guard, type Stretch } from './guard.ts'
import { note } from './journal.ts'
import type { Keeping } from './keep.ts'
import { newsSince } from './log-end.ts'
import { emptyMemo, isDue, keeperFile, leasesOf, memoFile, maxTaken, memosOf, readMemo, removeMemo, writeMemo, type Memo } from './memo.ts'
import { elapsedMs, momentNow } from './moment.ts'
import type { OpenLeases, Party } from './opening.ts'
import { normalise, type Client, type HookEvent, type Payload } from './payload.ts'
import { hookSettings, type HookSettings } from './settings.ts'
import { intentOf, isShell, statedTimeoutMs, type Intent } from './tools.ts'
import type { Written } from './shell-places.ts'
import { blockText } from './words.ts'
import { targetsOf, type Target } from './workspaces.ts'

/** One call of a hook. */
export interface HookCall {
  /** What the hook was installed for; null: as the payload says. */
  readonly event: HookEvent | null
  /** The client that it was installed for. */
  readonly hint: Client | null
  /** What the client sent, parsed. */
  readonly payload: unknown
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** As `elapsedMs` counts: until then there has to be an answer. */
  readonly deadline: number
  readonly openLeases: OpenLeases
  /** Starts the process that renews the session's leases while no hook is called. */
  readonly keepOn: (keeping: Keeping) => Promise<void>
}

/** A call after its payload was understood. */
interface Scene {
  readonly call: HookCall
  readonly payload: Payload
  readonly directory: LockDirectory
  readonly guard: Guard
}

/** A workspace with the settings that hold in it. */
interface Place extends Target {
  readonly settings: HookSettings
  /** Is this file or directory in something that a command writes as a whole? */
  readonly isReached: ((place: string) => boolean) | null
}

/** Do sessions share it file by file? Outside Git there are no leases for that. */
const isShared = ({ settings, repository }: Place): boolean => settings.scope === 'path' && repository !== null

/** What a client lets its commands take when nobody says, milliseconds. */
const longestCommandMs = 600_000
/** Beyond what a command may take. */
const slackMs = 60_000
/** Longer than a day is a mistake or a lie. */
const longestStretchMs = 86_400_000
/** Background work has no end that is told; a client that is proven dead ends it at once, another hook sooner. */
const backgroundMs = 3_600_000
/** Without any of this a command works where it runs, and reading it further would cost each one a millisecond. */
const mayNamePlace =
  /\/|\.\.|>(?!&)|\b(?:cd|pushd|rm|mv|cp|find|rsync|ch(?:mod|own|grp)|tee|touch|truncate|sed|perl|dd|mkdir|ln|install|shred|clean)\b|\s-C|--(?:prefix|cwd|dir|directory)\b/
/** For what can be left out. */
const shortWaitMs = 20
/** Kept for what follows the lock's own work. */
const reserveMs = 100

/** Answers a hook: null lets the tool run, a text blocks it. Throws for what only `failure` may turn into an answer. */
export async function answerHook(call: HookCall): Promise<string | null> {
  const payload = normalise(call.payload, call.event, call.hint, call.env, call.cwd)
  if (typeof payload === 'string') throw new Error(payload)
  const directory = new LockDirectory(runtimeDirectory(call.env))
  const { sessionId, client, cwd, event } = payload
  const guard = new Guard(directory, { sessionId, agent: client, cwd, env: call.env }, call.deadline - reserveMs)
  const scene: Scene = { call, payload, directory, guard }
  switch (event) {
    case 'before-tool':
      return before(scene)
    case 'after-tool':
    case 'refresh':
      await during(scene)
      return null
    case 'stop':
      await stopped(scene)
      return null
    case 'session-start':
      await started(scene)
      return null
    case 'session-end':
      guard.releaseAll()
      await leavePaths(scene, true)
      return null
  }
}

/** What a failure becomes: null lets the tool run. Writes the one line about it. */
export async function failure(call: Pick<HookCall, 'event' | 'hint' | 'env' | 'cwd'>, what: string): Promise<string | null> {
  const { event, hint, env, cwd } = call
  const said = what.split('\n')[0] ?? ''
  try {
    note(runtimeDirectory(env), `${hint ?? '-'} ${event ?? '-'} ${said}`)
  } catch {
    // Without a home there is no place for it.
  }
  if (event !== 'before-tool' && event !== null) return null
  const [target] = targetsOf([], cwd, true)
  const settings = await hookSettings(target?.repository ?? null, env)
  // Without an event we may have been called for anything, and to block a stop would keep the agent working.
  return settings.fail === 'closed' && event === 'before-tool' && settings.enabled ? closedText(said) : null
}

const closedText = (what: string): string => `leasehold: the session lock could not be checked, and session_lock.fail is closed: ${what}`

async function before(scene: Scene): Promise<string | null> {
  const { payload, guard, call, directory } = scene
  const intent = intentOf(payload)
  const unseen: string[] = []
  const places = await placesOf(scene, intent, what => unseen.push(what))
  const stretch = stretchOf(payload, intent, call.env)
  if (!intent.writes) {
    await renewAll(scene, places, null, false)
    return null
  }
  const guarded = places.filter(({ settings }) => settings.enabled)
  const whole = guarded.filter(place => !isShared(place) || intent.shell)
  const shared = guarded.filter(place => !whole.includes(place))
  if (shared.some(({ files }) => files.length > maxTaken)) unseen.push(`only the first ${maxTaken} files of a tool call are leased`)
  for (const what of unseen) note(directory.path, `${payload.client} ${payload.event} ${what}`)
  if (unseen.length > 0 && guarded.some(({ settings }) => settings.fail === 'closed')) return closedText(unseen.join('; '))
  for (const place of whole) {
    const refused = await othersBelow(scene, place)
    if (refused !== null) return refused
  }
  if (whole.length > 0) {
    const ttlMs = Math.min(...whole.map(({ settings }) => settings.ttlMs))
    const result = guard.enter(
      whole.map(({ root }) => root),
      ttlMs,
      stretch,
    )
    const reason =
      result === null || result.acquired ? null : blockText(result, payload.sessionId, workspaceOf(result.holder, whole), momentNow())
    if (reason !== null) return reason
  }
  let refused: string | null = null
  for (const place of shared) refused ??= await takeFiles(scene, place)
  refused ??= await renewAll(scene, places, stretch, false, true)
  // In path scope nothing else ends what a command has of a workspace.
  if (refused !== null) guard.withdraw(workspace => whole.some(place => place.root === workspace && isShared(place)))
  return refused
}

async function during(scene: Scene): Promise<void> {
  const { payload, guard } = scene
  const intent = intentOf(payload)
  const places = await placesOf(scene, intent)
  const id = payload.event === 'after-tool' ? (payload.toolUseId ?? payload.tool) : null
  const left = id !== null && payload.goesOn && intent.writes ? { id, ms: unknownMs(guard) } : null
  const over = left === null ? id : null
  for (const place of places) {
    const { root, settings } = place
    if (!settings.enabled) continue
    // In path scope a command has the workspace only while it runs.
    if (isShared(place) && over !== null) guard.releaseOne(root)
    else guard.refresh([root], settings.ttlMs, over, left)
  }
  await renewAll(scene, places, null, payload.event === 'after-tool')
  await renewAll(scene, leasedBeside(scene, places), null, false)
  await refreshBeside(scene, places)
}

/** The other worktrees where the session was seen with leases, unless they last for a command that runs there. */
function leasedBeside({ payload, directory }: Scene, places: readonly Place[]): readonly Target[] {
  return memosOf(directory, payload.sessionId).flatMap(({ file, root }) => {
    if (places.some(place => place.root === root) || readMemo(file).stretched.length > 0) return []
    return targetsOf([], root, true).filter(target => target.root === root)
  })
}

/** A sign of life is one in all workspaces of the session: one that works in another may come back. */
async function refreshBeside({ guard, call }: Scene, places: readonly Place[]): Promise<void> {
  for (const workspace of guard.dueBeside(places.map(({ root }) => root))) {
    const [target] = targetsOf([], workspace, true)
    // Where it was removed, another one may begin.
    if (target?.root !== workspace) continue
    const { enabled, ttlMs } = await hookSettings(target.repository, call.env)
    if (enabled) guard.refresh([workspace], ttlMs, null)
  }
}

async function stopped(scene: Scene): Promise<void> {
  const { payload, guard } = scene
  const places = await placesOf(scene, intentOf({ ...payload, tool: null }))
  const ttlMs = Math.min(...places.map(({ settings }) => settings.ttlMs), 300_000)
  // Codex does not say what it left running, but then it never said either that the command was over.
  const left = payload.background ?? (payload.client === 'codex' ? guard.begun() : 0)
  if (left > 0) {
    guard.keepAll(ttlMs, payload.background === null ? null : { id: 'background', ms: unknownMs(guard) })
  } else {
    guard.releaseAll()
    await leavePaths(scene, false)
  }
  try {
    await renewAll(scene, places, null, left === 0)
  } finally {
    // A store that is away for a moment is there again before the work in the background is over.
    if (markBackground(scene, left > 0 && guard.client !== null)) await keepOn(scene, ttlMs)
  }
}

/** Writes down whether the session's leases are to be renewed while no hook is called; false: there are none, or they are not. */
function markBackground(scene: Scene, background: boolean): boolean {
  const { payload, directory, call } = scene
  let kept = false
  for (const { file, root } of memosOf(directory, payload.sessionId)) {
    if (!background && !readMemo(file).background) continue
    const [target] = background ? targetsOf([], root, true) : []
    const repository = target?.root === root ? target.repository : null
    directory.locked(call.deadline - reserveMs, () => {
      const memo = readMemo(file)
      const keeps = repository !== null && (memo.paths.length > 0 || leasesOf(repository, sessionsOf(scene)).length > 0)
      if (memo.background !== keeps) writeMemo(file, root, payload.sessionId, { ...memo, background: keeps })
      kept ||= keeps
    })
  }
  return kept
}

async function keepOn(scene: Scene, ttlMs: number): Promise<void> {
  const { payload, call, guard, directory } = scene
  const { client, sessionId, cwd, background } = payload
  const { client: witness } = guard
  const { agentId, session } = partyOf(scene)
  if (witness === null) return
  try {
    await call.keepOn({
      sessionId,
      agent: client,
      cwd,
      agentId,
      session,
      sessions: [...sessionsOf(scene)],
      client: witness,
      ttlMs,
      stretchMs: background === null ? null : backgroundMs,
    })
  } catch (error) {
    note(directory.path, `${client} stop leases are not renewed in the background: ${(error as Error).message}`)
  }
}

async function started({ payload, guard, call, directory }: Scene): Promise<void> {
  const { CLAUDE_ENV_FILE: file, LEASEHOLD_SESSION_ID: launched } = call.env
  try {
    if (file !== undefined && file !== '') exportIdentity(file, launched || payload.sessionId)
  } catch (error) {
    note(directory.path, `${payload.client} session-start ${(error as Error).message}`)
  }
  const [target] = targetsOf([], payload.cwd, true)
  const { enabled, ttlMs } = await hookSettings(target?.repository ?? null, call.env)
  if (enabled) guard.adopt(ttlMs)
}

/** The commands that the agent runs know who they are, also after the client has changed its session's id. */
function exportIdentity(file: string, session: string): void {
  if (!isAbsolute(file) || !/^[\w.:@+-]{1,256}$/.test(session)) return
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants
  const fd = openSync(file, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
  try {
    writeSync(fd, `export LEASEHOLD_SESSION_ID='${session}'\n`)
  } finally {
    closeSync(fd)
  }
}

/** The workspaces that this is about, with the settings of each. `onLimit` is told of what was not looked at. */
async function placesOf(
  { payload, call, directory }: Scene,
  intent: Intent,
  onLimit: (what: string) => void = () => undefined,
): Promise<readonly Place[]> {
  const { paths, command, shell, writes, unseen } = intent
  if (unseen !== undefined) onLimit(unseen)
  const { places: named, trees } =
    command === null || !mayNamePlace.test(command) ? nothing : (await import('./shell-places.ts')).writtenBy(command, paths[0], onLimit)
  const isReached = trees.length === 0 ? null : (await import('./trees.ts')).reachOf(trees, payload.cwd)
  const targets = [...targetsOf([...paths, ...named], payload.cwd, shell || !writes)]
  const below = isReached === null ? [] : directory.othersThan(payload.sessionId, momentNow()).filter(isReached)
  for (const root of below) if (targets.every(target => target.root !== root)) targets.push(...targetsOf([], root, true))
  const places: Place[] = []
  for (const target of targets) {
    const settings = await hookSettings(target.repository, call.env)
    if (settings.fault !== null) note(directory.path, `${payload.client} ${payload.event} ${settings.fault}`)
    if (target.repository === null && settings.outsideGit === 'ignore') continue
    places.push({ ...target, settings, isReached })
  }
  return places
}

const nothing: Written = { places: [], trees: [] }

/** How long background work is believed to go on. Nobody but a proof can say that it is over; without one it is given less. */
const unknownMs = ({ client }: Guard): number => (client === null ? longestCommandMs : backgroundMs)

/** How long what begins now may take, when it runs commands. */
function stretchOf(payload: Payload, { shell }: Intent, env: NodeJS.ProcessEnv): Stretch | null {
  if (!shell) return null
  const most = Number(env['BASH_MAX_TIMEOUT_MS'])
  const usual = most > 0 ? most : longestCommandMs
  const stated = statedTimeoutMs(payload)
  // What another's tool calls a time-out may be in seconds, and of something else.
  const ms = isShell(payload.tool) ? (stated ?? usual) : Math.max(stated ?? 0, usual)
  return { id: payload.toolUseId ?? payload.tool ?? '', ms: Math.min(ms, longestStretchMs) + slackMs }
}

const workspaceOf = (holder: Readonly<Record<string, unknown>>, places: readonly Place[]): string =>
  typeof holder['workspace'] === 'string' && places.some(({ root }) => root === holder['workspace'])
    ? holder['workspace']
    : (places[0]?.root ?? '.')

/** Under which names this session may have taken leases. */
function sessionsOf({ payload, call }: Scene): ReadonlySet<string> {
  const own = new Set([payload.sessionId])
  const { LEASEHOLD_SESSION_ID: launched } = call.env
  if (launched) own.add(launched)
  // Gemini tells its commands no session id: there its process makes the name.
  if (payload.client === 'gemini' || payload.client === 'cursor' || payload.client === 'opencode') {
    const client = ancestors(process.pid).find(ancestor => isClient(ancestor, payload.client))
    if (client !== undefined) own.add(`pid${client.pid}-${client.startTicks}`)
  }
  return own
}

function partyOf({ payload, guard, call }: Scene): Party {
  const { LEASEHOLD_AGENT_ID: named, LEASEHOLD_SESSION_ID: launched } = call.env
  const session = launched || payload.sessionId
  const agentId =
    named !== undefined && /^[a-z][a-z0-9_-]*:[\u0021-\u007e]{1,128}$/.test(named)
      ? named
      : `agent:${payload.client}-${session.slice(0, 8)}`
  return { agentId, session, witness: guard.client, waitMs: Math.min(1000, call.deadline - elapsedMs() - reserveMs) }
}

/**
 * Renews the session's leases in these workspaces, a fifth of the shortest one's length after the last time, or at once for a command that
 * may outlast them, for a lease that is new, and where the log says that something happened to one. The text says of a lost one what to
 * do; it is said once, when a write is about to begin (`telling`).
 */
async function renewAll(
  scene: Scene,
  places: readonly Target[],
  stretch: Stretch | null,
  restore: boolean,
  telling = false,
): Promise<string | null> {
  const { call, payload, directory } = scene
  const said: string[] = []
  for (const { repository, root } of places) {
    if (repository === null) continue
    const granted = leasesOf(repository, sessionsOf(scene))
    const file = memoFile(directory, root, payload.sessionId)
    const memo = granted.length > 0 || directory.has(file) ? readMemo(file) : emptyMemo
    // An id is never given again: what the agent was told is over.
    const entries = granted.filter(({ leaseId }) => !memo.told.includes(leaseId))
    if (entries.length === 0 && memo.paths.length === 0) continue
    const { clk } = momentNow()
    if (
      !isDue(memo, entries, clk) &&
      !(restore && memo.stretched.length > 0) &&
      (stretch === null || stretch.ms <= secureMs(memo, clk?.m ?? 0)) &&
      // What the agent was not told yet waits for its next write.
      !(telling && memo.lost.length > 0) &&
      !isInLog(scene, file, root, memo, entries)
    )
      continue
    const leases = await call.openLeases(repository, call.env, partyOf(scene))
    const renewed = await leases.renew(entries, memo, stretch?.ms ?? null, restore)
    const told = memo.told.filter(id => granted.some(({ leaseId }) => leaseId === id))
    directory.locked(call.deadline - reserveMs, () =>
      writeMemo(file, root, payload.sessionId, {
        ...renewed.memo,
        told: telling ? [...told, ...renewed.memo.told] : told,
        lost: telling ? [] : renewed.lost,
      }),
    )
    if (telling) said.push(...renewed.lost)
  }
  return said.length === 0 ? null : said.join('\n')
}

/** Does the log say something of the session's leases since the last look? */
function isInLog({ call, payload, directory }: Scene, file: string, root: string, memo: Memo, entries: readonly HeldEntry[]): boolean {
  if (memo.log === null) return false
  const { ours, end } = newsSince(memo.log, entries, memo.due?.span ?? 0)
  if (ours || end.size === memo.log.size) return ours
  try {
    // What is only about others is read once, not at each tool call.
    const deadline = Math.min(call.deadline - reserveMs, elapsedMs() + shortWaitMs)
    directory.locked(deadline, () => writeMemo(file, root, payload.sessionId, { ...readMemo(file), log: end }))
  } catch {
    // Then it is read again.
  }
  return false
}

/** For how long the leases are safe without another renewal: four more of the fifths after which they are renewed. */
const secureMs = ({ due, stretched }: Memo, m: number): number => (due === null || stretched.length > 0 ? 0 : due.m - m + 4 * due.span)

/** In path scope: who has a file in what a command writes as a whole, in words. */
async function othersBelow({ call, ...scene }: Scene, place: Place): Promise<string | null> {
  const { repository, isReached } = place
  if (repository === null || isReached === null || !isShared(place)) return null
  const leases = await call.openLeases(repository, call.env, partyOf({ call, ...scene }))
  return leases.othersIn(isReached)
}

/** Takes the files that a tool writes; a text says who has one of them. */
async function takeFiles(scene: Scene, { repository, root, files, settings }: Place): Promise<string | null> {
  const { call, payload, directory } = scene
  if (repository === null || files.length === 0) return null
  const file = memoFile(directory, root, payload.sessionId)
  const leases = await call.openLeases(repository, call.env, partyOf(scene))
  const { taken, refused } = await leases.take(files, settings.ttlMs)
  if (taken.length > 0) {
    directory.locked(call.deadline - reserveMs, () => {
      const memo = readMemo(file)
      const others = memo.paths.filter(({ resource }) => !taken.some(lease => lease.resource === resource))
      writeMemo(file, root, payload.sessionId, { ...memo, paths: [...others, ...taken] })
    })
  }
  return refused
}

/** Gives back the files of the session, and forgets it when it is over. */
async function leavePaths(scene: Scene, over: boolean): Promise<void> {
  const { call, payload, directory } = scene
  for (const { file, root } of memosOf(directory, payload.sessionId)) {
    const memo = readMemo(file)
    const repository = memo.paths.length === 0 ? null : (targetsOf([], root, true)[0]?.repository ?? null)
    if (repository !== null) await (await call.openLeases(repository, call.env, partyOf(scene))).release(memo)
    directory.locked(call.deadline - reserveMs, () => {
      if (over) removeMemo(file)
      else if (memo.paths.length > 0) writeMemo(file, root, payload.sessionId, { ...readMemo(file), paths: [] })
    })
  }
  const keeper = keeperFile(directory, payload.sessionId)
  if (over && directory.has(keeper)) directory.locked(call.deadline - reserveMs, () => removeOwn(keeper))
}
