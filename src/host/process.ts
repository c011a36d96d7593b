import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { Witness } from '../core/lease.ts'

/** What is known of a process that a lease names. */
export type Vitality = 'alive' | 'dead' | 'unknown'

/** A process above ours. */
export interface Ancestor {
  readonly pid: number
  /** Clock ticks since boot. */
  readonly startTicks: number
  /** The kernel's name for it, at most 15 bytes. */
  readonly comm: string
  /** Its arguments, the program first; empty when they may not be read. */
  readonly cmdline: readonly string[]
}

/** The fields of `/proc/PID/stat` that matter here. */
interface ProcessFacts {
  readonly comm: string
  readonly state: string
  readonly parent: number
  readonly group: number
  readonly threads: number
  readonly startTicks: number
}

const maxAncestors = 64
const isDarwin = process.platform === 'darwin'

let bootIdSeen: string | null | undefined
let procIsOursSeen: boolean | undefined

/** Names this boot of this kernel; null where the system tells none. */
export function bootId(): string | null {
  if (bootIdSeen === undefined) {
    const said = isDarwin ? ask('sysctl', ['-n', 'kern.bootsessionuuid']) : contentOf('/proc/sys/kernel/random/boot_id')
    bootIdSeen = said?.trim() || null
  }
  return bootIdSeen
}

/** Inode of our pid namespace, `none` where there are no namespaces. */
export const pidNamespace = (): string => namespaceOf('pid')

/** Inode of our time namespace, `none` where there are no namespaces. */
export const timeNamespace = (): string => namespaceOf('time')

/** What this machine calls itself. For people: no proof that two records come from one machine. */
export function hostname(): string {
  const name = isDarwin ? null : contentOf('/proc/sys/kernel/hostname')?.trim()
  return name || process.getBuiltinModule('node:os').hostname()
}

/** When a process started, in clock ticks since boot (macOS: seconds since the epoch); null when there is none or it cannot be told. */
export function processStartTicks(pid: number): number | null {
  if (!isDarwin) return factsOf(pid)?.startTicks ?? null
  const said = ask('ps', ['-o', 'lstart=', '-p', String(pid)])?.trim()
  const started = said ? Date.parse(said) : NaN
  return Number.isNaN(started) ? null : started / 1000
}

/** The kernel's letter for what a process does (`R`, `S`, `D`, `T`, `Z` …), null when there is none or it cannot be told. */
export function processState(pid: number): string | null {
  if (!isDarwin) return factsOf(pid)?.state ?? null
  return (
    ask('ps', ['-o', 'state=', '-p', String(pid)])
      ?.trim()
      .charAt(0) || null
  )
}

/** The proof of life that a lease can carry for a process that runs now; null when it does not run or cannot be told apart. */
export function witnessOf(pid: number): Witness | null {
  const boot = bootId()
  const pidStartTicks = processStartTicks(pid)
  if (boot === null || pidStartTicks === null || isCorpse(pid)) return null
  // The namespaces are ours, not the process's: they say in whose numbering this pid and this start were read.
  return { host: hostname(), bootId: boot, pidNs: pidNamespace(), timeNs: timeNamespace(), pid, pidStartTicks }
}

/**
 * Does the process that a witness names still run? `dead` only with proof: same boot, same namespaces, and no such process, a
 * zombie, or one that started at another time. Everything else that cannot be compared is `unknown`, and only time decides then.
 */
export function vitality(witness: Witness): Vitality {
  // Another boot would prove death on the same machine, but nothing here proves that it is the same one.
  if (witness.bootId !== bootId() || witness.pidNs !== pidNamespace() || witness.timeNs !== timeNamespace()) return 'unknown'
  const started = processStartTicks(witness.pid)
  // A process hidden from /proc (hidepid) still answers a signal; whether it is the one we mean cannot be seen.
  if (started === null) return isProvenGone(witness.pid) ? 'dead' : 'unknown'
  if (started !== witness.pidStartTicks) return 'dead'
  return isCorpse(witness.pid) ? 'dead' : 'alive'
}

/** The processes above `pid`, its parent first. Ends early where one cannot be read. */
export function ancestors(pid: number): readonly Ancestor[] {
  const found: Ancestor[] = []
  let above = parentOf(pid)
  while (above > 0 && found.length < maxAncestors) {
    const ancestor = ancestorAt(above)
    if (ancestor === null) break
    found.push(ancestor)
    above = parentOf(above)
  }
  return found
}

/** Does a process belong to the user that we are? False when there is no such process. */
export function sameUser(pid: number): boolean {
  const own = process.geteuid?.()
  return own !== undefined && userOf(pid) === own
}

/**
 * Does any process but this one carry `name=value` in the environment it was started with, on a line of its own where that has several? For
 * children of an agent that outlive it.
 * `unknown` where one that could is not to be read, or the process list itself is not. Sees only our pid namespace.
 * With `startedSince` (clock ticks, the agent's own start) unreadable processes that are older do not count: every desktop has some.
 */
export function environmentHolder(name: string, value: string, startedSince = 0): 'present' | 'absent' | 'unknown' {
  if (!procIsOurs()) return 'unknown'
  const seen = new Set([process.pid])
  let unclear = new Set<number>()
  // A process may hand its environment to a child and end between the listing and the look, and one that is just starting or ending
  // cannot be read for a moment: look again until nothing is new and nothing unclear.
  for (let round = 0; round < looks; round++) {
    const fresh = listProcesses().filter(pid => !seen.has(pid) || unclear.has(pid))
    if (fresh.length === 0) return 'absent'
    if (unclear.size > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, lookEveryMs)
    unclear = new Set()
    for (const pid of fresh) {
      seen.add(pid)
      const carried = carries(pid, name, value)
      if (carried === true) return 'present'
      if (carried === null && couldBeChild(pid, startedSince)) unclear.add(pid)
    }
  }
  return unclear.size > 0 ? 'unknown' : 'absent'
}

/**
 * The processes that carry `name=value` in the environment they were started with, ourselves excepted; those that cannot be read are not
 * seen. With `startedSince` (clock ticks) only those that are not older.
 */
export function processesWith(name: string, value: string, startedSince = 0): readonly number[] {
  if (!procIsOurs()) return []
  const isOld = (pid: number): boolean => startedSince > 0 && (factsOf(pid)?.startTicks ?? startedSince) < startedSince
  return listProcesses().filter(pid => pid !== process.pid && !isCorpse(pid) && carries(pid, name, value) === true && !isOld(pid))
}

/** A file that is open, and which of those that had its name it is. */
export interface OpenFile {
  readonly path: string
  readonly dev: number
  readonly ino: number
}

/**
 * The processes, ourselves excepted, that keep a kernel lock on one of these files by a descriptor that they inherited, whatever they did
 * to their environment. Whoever merely looks at a file has no lock on it. Linux only: elsewhere nobody is seen.
 */
export function lockKeepers(files: readonly OpenFile[]): readonly number[] {
  if (files.length === 0 || isDarwin || !procIsOurs()) return []
  const names = new Set(files.flatMap(({ path }) => [path, `${path} (deleted)`]))
  const keeps = (pid: number, fd: string): boolean => {
    const link = `/proc/${pid}/fd/${fd}`
    if (!names.has(linkOf(link) ?? '')) return false
    // A file of before that had the same name is another one: what keeps that was started for something else.
    const found = fileAt(link)
    return (
      files.some(({ dev, ino }) => dev === found?.dev && ino === found.ino) &&
      /^lock:.* OFDLCK .* WRITE /m.test(contentOf(`/proc/${pid}/fdinfo/${fd}`) ?? '')
    )
  }
  return listProcesses().filter(pid => pid !== process.pid && descriptorsOf(pid).some(fd => keeps(pid, fd)))
}

/** The file of a descriptor of ours; null where that cannot be told. */
export function fileBehind(fd: number): OpenFile | null {
  const [name, found] = isDarwin ? [null, null] : [linkOf(`/proc/self/fd/${fd}`), fileAt(`/proc/self/fd/${fd}`)]
  return name === null || found === null ? null : { path: name, dev: found.dev, ino: found.ino }
}

function fileAt(link: string): { readonly dev: number; readonly ino: number } | null {
  try {
    return statSync(link, { throwIfNoEntry: false }) ?? null
  } catch {
    return null
  }
}

function descriptorsOf(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`)
  } catch {
    return []
  }
}

/** Does anything still run in a process group? Corpses that nobody buries do not count where /proc tells them apart. */
export function groupRuns(group: number): boolean {
  try {
    process.kill(-group, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  if (isDarwin || !procIsOurs()) return true
  return listProcesses().some(pid => factsOf(pid)?.group === group && !isCorpse(pid))
}

/** Sends a signal to everything in a process group; one that is gone is no error. */
export function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // It is gone, or none of it is ours any more.
  }
}

/** How often, and how far apart in milliseconds, a process that cannot be read is looked at before that says something. */
const looks = 15
const lookEveryMs = 5

/** Null when it cannot be told. */
function carries(pid: number, name: string, value: string): boolean | null {
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8')
    if (!environment.includes(value)) return false
    const entry = environment.split('\0').find(each => each.startsWith(`${name}=`))
    return (
      entry
        ?.slice(name.length + 1)
        .split('\n')
        .includes(value) === true
    )
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return false
    // Gone, a thread of the kernel, or a main thread that ended before the others: only these may still work.
    if (code === 'ESRCH') return (factsOf(pid)?.state ?? 'X') === 'Z' && !isCorpse(pid) ? null : false
    return null
  }
}

/** Other people's processes are none of our agent's children, nor is the first process of all, nor one that is older than the agent. */
const couldBeChild = (pid: number, startedSince: number): boolean =>
  pid !== 1 && sameUser(pid) && (factsOf(pid)?.startTicks ?? 0) >= startedSince

const listProcesses = (): readonly number[] =>
  readdirSync('/proc')
    .filter(name => /^[0-9]+$/.test(name))
    .map(Number)

/** The real user of a process. The owner of /proc/PID would not do: it is root for every process that may not be dumped. */
function userOf(pid: number): number | null {
  if (isDarwin) {
    const said = ask('ps', ['-o', 'uid=', '-p', String(pid)])?.trim()
    return said ? Number(said) : null
  }
  const uid = /^Uid:\s+([0-9]+)/m.exec(procText(pid, 'status') ?? '')?.[1]
  return uid === undefined ? null : Number(uid)
}

/** Ended, and only its table entry is left. A main thread that ended before the others looks like a zombie too, but is none. */
function isCorpse(pid: number): boolean {
  if (isDarwin) return processState(pid) === 'Z'
  const facts = factsOf(pid)
  return facts !== null && (facts.state === 'X' || facts.state === 'x' || (facts.state === 'Z' && facts.threads <= 1))
}

function isProvenGone(pid: number): boolean {
  if (!isDarwin && !procIsOurs()) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

function parentOf(pid: number): number {
  if (!isDarwin) return factsOf(pid)?.parent ?? 0
  return Number(ask('ps', ['-o', 'ppid=', '-p', String(pid)])?.trim() || 0)
}

function ancestorAt(pid: number): Ancestor | null {
  const startTicks = processStartTicks(pid)
  if (startTicks === null) return null
  if (isDarwin) {
    const comm = ask('ps', ['-o', 'comm=', '-p', String(pid)])?.trim() ?? ''
    // ps joins the arguments with blanks; good enough to look for a program's name in.
    return {
      pid,
      startTicks,
      comm,
      cmdline:
        ask('ps', ['-o', 'args=', '-p', String(pid)])
          ?.trim()
          .split(' ') ?? [],
    }
  }
  const cmdline = (procText(pid, 'cmdline') ?? '').split('\0')
  if (cmdline.at(-1) === '') cmdline.pop()
  return { pid, startTicks, comm: factsOf(pid)?.comm ?? '', cmdline }
}

function factsOf(pid: number): ProcessFacts | null {
  const text = procText(pid, 'stat')
  // The name in parentheses may itself hold blanks and parentheses: only what follows the last one can be split.
  const close = text?.lastIndexOf(')') ?? -1
  if (text === null || close < 0) return null
  const fields = text.slice(close + 2).split(' ')
  const startTicks = Number(fields[19])
  if (!Number.isSafeInteger(startTicks)) return null
  return {
    comm: text.slice(text.indexOf('(') + 1, close),
    state: fields[0] ?? '?',
    parent: Number(fields[1]),
    group: Number(fields[2]),
    threads: Number(fields[17]),
    startTicks,
  }
}

function procText(pid: number, name: string): string | null {
  return Number.isSafeInteger(pid) && pid > 0 && procIsOurs() ? textOf(`/proc/${pid}/${name}`) : null
}

/** Does /proc show our own pid namespace? After `unshare --pid` without a new mount it shows the outer one, with other numbers. */
function procIsOurs(): boolean {
  procIsOursSeen ??= linkOf('/proc/self') === String(process.pid)
  return procIsOursSeen
}

function namespaceOf(kind: 'pid' | 'time'): string {
  return /\[([0-9]+)\]/.exec(linkOf(`/proc/self/ns/${kind}`) ?? '')?.[1] ?? 'none'
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    return null
  }
}

function textOf(path: string): string | null {
  try {
    // Asking first is cheaper than an exception, and a dead process is the case that matters.
    return statSync(path, { throwIfNoEntry: false }) === undefined ? null : contentOf(path)
  } catch {
    return null
  }
}

/** Of a file that is nearly always there. */
function contentOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

/** What a small system program printed, null when it failed. Only where there is no /proc. */
function ask(program: string, args: readonly string[]): string | null {
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const done = spawnSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, LC_ALL: 'C' } })
  return done.status === 0 ? done.stdout : null
}
