import { posix } from 'node:path'
import { usage } from '../../core/fault.ts'
import type { Level } from './enforce-level.ts'
import { parseBranchLevels, parseLevel, partsOf } from './enforce-level.ts'
import { parseAgentId } from '../identity/agent.ts'
import { commandWords } from './command-words.ts'
import { parseDuration, parseSize } from './durations.ts'

/** Every setting and the type of its value. Durations are milliseconds, sizes bytes. */
export interface Values {
  'agent.id': string | null
  ttl: number
  /** 0 = never. */
  stale_after: number
  lock_wait: number
  max_indefinite_leases_per_agent: number
  max_indefinite_leases_per_repo: number
  /** `file:`, `file:///absolute/directory`, or `etcd://host:2379/space`. */
  store: string
  /** Hosts that the password of `etcd.user` may be sent to, between commas. */
  'etcd.hosts': string | null
  'etcd.user': string | null
  'etcd.password_file': string | null
  'etcd.ca_file': string | null
  'etcd.cert_file': string | null
  'etcd.key_file': string | null
  base_branch: string | null
  /** Absolute, or relative to the top of the main worktree. */
  'worktree.directory': string | null
  'worktree.branch_prefix': string
  /** Patterns of `.gitattributes`, between commas. */
  'worktree.union_paths': string
  enforce: Level
  /** `main=strict,wip/*=off`. */
  'enforce.branches': string | null
  /** Program and arguments, as `commandWords` reads them. */
  'launch.command': string | null
  'log.segment_size': number
  'log.retention': number
  'log.retention_size': number
  'session_lock.enabled': boolean
  'session_lock.fail': 'open' | 'closed'
  'session_lock.scope': 'workspace' | 'path'
  'session_lock.ttl': number
  'session_lock.outside_git': 'ignore' | 'directory'
}

/** Settings that a file may also say as a list; its text is then the list as JSON. */
export const listKeys: ReadonlySet<string> = new Set<Key>(['launch.command'])

/** The name of a setting. */
export type Key = keyof Values

/** A place that settings come from, weakest first. */
export type Layer = 'system' | 'user' | 'repository' | 'environment' | 'flag'

/** One setting: what it means, what it may be, and who may say it. */
export interface Setting<Value> {
  /** One line for people. */
  readonly doc: string
  /** As one would write it; null when there is none. */
  readonly default: string | null
  readonly layers: readonly Layer[]
  /** Why a layer is missing above; for the error message. */
  readonly why?: string
  /** The value that a text means. `where` (a flag, a variable, or file, line and key) begins the error. Throws `usage`. */
  readonly parse: (text: string, where: string) => Value
}

/** Settings whose value is a duration: milliseconds in here, seconds on the wire. */
export const durationKeys: ReadonlySet<Key> = new Set(['ttl', 'stale_after', 'lock_wait', 'log.retention', 'session_lock.ttl'])

const everywhere: readonly Layer[] = ['system', 'user', 'repository', 'environment', 'flag']

/** What is secret, or decides where a secret goes: a repository that somebody cloned must not say it. */
const ownLayers: readonly Layer[] = ['system', 'user', 'environment']

const whyOwn = 'a repository could have secrets sent to where it likes'

const withoutFlag: readonly Layer[] = ['system', 'user', 'repository', 'environment']

const secondMs = 1000
const dayMs = 86_400 * secondMs

const duration =
  (minMs: number, maxMs: number, range: string) =>
  (text: string, where: string): number => {
    const ms = parseDuration(text, where)
    if (ms < minMs || ms > maxMs) throw usage(`${where}: ${text} is outside ${range}.`)
    return ms
  }

const size =
  (minBytes: number, maxBytes: number, range: string) =>
  (text: string, where: string): number => {
    const bytes = parseSize(text, where)
    if (bytes < minBytes || bytes > maxBytes) throw usage(`${where}: ${text} is outside ${range}.`)
    return bytes
  }

const count =
  (max: number) =>
  (text: string, where: string): number => {
    const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : NaN
    if (!(value <= max)) throw usage(`${where}: ${JSON.stringify(text)} is no whole number from 0 to ${max}.`)
    return value
  }

const storeForms = 'Use `file:` (beside the repository), `file:///absolute/directory` or `etcd://host:2379/space`.'

function store(text: string, where: string): string {
  if (text === 'file:') return text
  const scheme = /^([a-z][a-z0-9+.-]*):/.exec(text)?.[1]
  if (scheme === 'etcd' || scheme === 'etcds') return etcdStore(text, where)
  if (scheme !== undefined && scheme !== 'file') {
    throw usage(`${where}: ${text}: this version has no \`${scheme}:\` store.`, storeForms)
  }
  const directory = /^file:\/\/(\/[^\0-\u001f\u007f]+)$/.exec(text)?.[1]
  if (directory === undefined) {
    throw usage(`${where}: ${JSON.stringify(text)} names no store.`, storeForms)
  }
  // One spelling for one directory: the store compares this text with the one it was made with.
  return `file://${posix.normalize(directory).replace(/(?<=.)\/$/, '')}`
}

/** Hosts and a space; the rest is judged when the store is opened. */
function etcdStore(text: string, where: string): string {
  if (/^etcds?:\/\/[^/]*@/.test(text))
    throw usage(
      `${where}: the URL of a store must not have a user or password in it.`,
      'Set etcd.user and etcd.password_file for yourself; see: lh config list',
    )
  if (/^etcds?:\/\/[A-Za-z0-9._,:[\]-]+\/[A-Za-z0-9._/-]+$/.test(text)) return text.replace(/\/+$/, '')
  throw usage(
    `${where}: ${JSON.stringify(text)} names no etcd store: hosts, then the name of the space.`,
    'For example etcd://127.0.0.1:2379/team/repo',
  )
}

function words(text: string, where: string): string {
  if (text !== '' && !/[\0-\u001f\u007f]/.test(text) && text.trim() === text) return text
  throw usage(`${where}: ${JSON.stringify(text)} is empty, or has spaces around it.`)
}

function absoluteFile(text: string, where: string): string {
  if (posix.isAbsolute(text) && !/[\0\n]/.test(text)) return text
  throw usage(`${where}: ${JSON.stringify(text)} is no absolute path of a file.`)
}

function branchName(text: string, where: string): string {
  // What Git refuses in a ref name; the rest is for Git to know.
  if (text !== '' && !/[\0-\u0020~^:?*[\\\u007f]|\.\.|@\{|^[-/]|\/$|\.lock$/.test(text)) return text
  throw usage(`${where}: ${JSON.stringify(text)} is no branch name.`, 'Write it as `git branch` shows it, for example main.')
}

function directory(text: string, where: string): string {
  if (text !== '' && !/[\0-\u001f\u007f]/.test(text) && text.trim() === text) return text
  throw usage(`${where}: ${JSON.stringify(text)} is no directory.`, 'Use an absolute path, or one from the top of the main worktree.')
}

function branchPrefix(text: string, where: string): string {
  // It need not end with a slash; with a name behind it, it has to be a branch.
  if (text !== '') branchName(`${text}x`, where)
  return text
}

function branchLevels(text: string, where: string): string {
  return parseBranchLevels(text, where)
    .map(([pattern, level]) => `${pattern}=${level}`)
    .join(',')
}

function patterns(text: string, where: string): string {
  const hint = 'Patterns as in .gitattributes, between commas: src/index.ts,**/modules.txt'
  const listed = partsOf(text, where, hint)
  // What `.gitattributes` takes for a comment, a macro, a negation or the end of the pattern.
  const bad = listed.find(each => /^[#!"[]|\s|[\0-\u001f\u007f]/.test(each) || each === '/')
  if (bad === undefined) return listed.join(',')
  throw usage(`${where}: ${JSON.stringify(bad)} is no pattern of files.`, hint)
}

function command(text: string, where: string): string {
  commandWords(text, where)
  return text
}

const oneOf =
  <Word extends string>(...words: readonly Word[]) =>
  (text: string, where: string): Word => {
    const word = words.find(candidate => candidate === text)
    if (word === undefined) throw usage(`${where}: ${JSON.stringify(text)} is none of ${words.join(', ')}.`)
    return word
  }

function yesOrNo(text: string, where: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  throw usage(`${where}: ${JSON.stringify(text)} is neither true nor false.`)
}

/** The table of settings. Everything that configuration can say is here. */
export const settings: { readonly [K in Key]: Setting<Values[K]> } = {
  'agent.id': {
    doc: 'who you are: <type>:<identifier>, for example human:alice',
    default: null,
    layers: ['user', 'environment'],
    why: 'everybody who reads that file would be one agent',
    parse: parseAgentId,
  },
  ttl: {
    doc: 'how long a lease lasts without a renewal',
    default: '30m',
    layers: everywhere,
    parse: duration(secondMs, 30 * dayMs, '1s to 30d'),
  },
  stale_after: {
    doc: 'how long an indefinite lease may be silent before it shows as stale; 0 = for ever',
    default: '1h',
    layers: everywhere,
    parse: duration(0, 365 * dayMs, '0 to 365d'),
  },
  lock_wait: {
    doc: "how long a command waits for the store's lock before it gives up as busy",
    default: '10s',
    layers: everywhere,
    parse: duration(0, 600 * secondMs, '0 to 10m'),
  },
  max_indefinite_leases_per_agent: {
    doc: 'how many leases with ttl 0 one agent may hold, each of a group counted; the branch and worktree of a ticket go with it',
    default: '2',
    layers: everywhere,
    parse: count(1000),
  },
  max_indefinite_leases_per_repo: {
    doc: 'how many leases with ttl 0 the whole repository may have, counted in the same way',
    default: '10',
    layers: everywhere,
    parse: count(1000),
  },
  store: {
    doc: 'where leases are kept: file: (beside the repository), file:///absolute/directory (shared by clones) or etcd://host:2379,host2:2379/space (shared by machines; etcds: over TLS)',
    default: 'file:',
    layers: everywhere,
    parse: store,
  },
  'etcd.hosts': {
    doc: 'hosts that the password of etcd.user may be sent to, between commas, as in the URL of the store but without ports',
    default: null,
    layers: ownLayers,
    why: whyOwn,
    parse: words,
  },
  'etcd.user': {
    doc: 'user of etcd; its password is read from etcd.password_file and sent to etcd.hosts only',
    default: null,
    layers: ownLayers,
    why: whyOwn,
    parse: words,
  },
  'etcd.password_file': {
    doc: 'file with the password of etcd.user',
    default: null,
    layers: ownLayers,
    why: whyOwn,
    parse: absoluteFile,
  },
  'etcd.ca_file': {
    doc: 'PEM file with the certificates that vouch for an etcds: store; unset: those of Node',
    default: null,
    layers: ownLayers,
    why: whyOwn,
    parse: absoluteFile,
  },
  'etcd.cert_file': {
    doc: 'PEM file with the certificate that is shown to an etcds: store',
    default: null,
    layers: ownLayers,
    why: whyOwn,
    parse: absoluteFile,
  },
  'etcd.key_file': {
    doc: 'PEM file with the key of etcd.cert_file',
    default: null,
    layers: ownLayers,
    why: whyOwn,
    parse: absoluteFile,
  },
  base_branch: {
    doc: 'the branch that finished work is merged into; unset: the branch of origin/HEAD, else main, master or trunk',
    default: null,
    layers: everywhere,
    parse: branchName,
  },
  'worktree.directory': {
    doc: 'where lh worktree add puts worktrees: absolute, or from the top of the main one; unset: ../<repository>-worktrees',
    default: null,
    layers: everywhere,
    parse: directory,
  },
  'worktree.branch_prefix': {
    doc: 'what the branches of new worktrees begin with',
    default: 'agents/',
    layers: everywhere,
    parse: branchPrefix,
  },
  'worktree.union_paths': {
    doc: 'files that every branch adds lines to, as in .gitattributes, between commas; new worktrees merge them by keeping both sides',
    default: '',
    layers: everywhere,
    parse: patterns,
  },
  enforce: {
    doc: 'what Git hooks do about work whose lease was lost: strict refuses it, warn lets it pass with a warning, off does not look',
    default: 'strict',
    layers: everywhere,
    parse: parseLevel,
  },
  'enforce.branches': {
    doc: 'the same for single branches, the first match counts: main=strict,wip/*=off',
    default: null,
    layers: everywhere,
    parse: branchLevels,
  },
  'launch.command': {
    doc: 'the agent that lh status --watch launches for a ticket: program and arguments, as a list or as one would type them',
    default: null,
    layers: withoutFlag,
    why: 'a launch is given its command after --',
    parse: command,
  },
  'log.segment_size': {
    doc: 'size at which the log begins a new segment',
    default: '1MiB',
    layers: everywhere,
    parse: size(64 * 1024, 1024 ** 3, '64KiB to 1GiB'),
  },
  'log.retention': {
    doc: 'how long finished segments are kept',
    default: '90d',
    layers: everywhere,
    parse: duration(dayMs, 3660 * dayMs, '1d to 3660d'),
  },
  'log.retention_size': {
    doc: 'how much finished segments may take together',
    default: '256MiB',
    layers: everywhere,
    parse: size(64 * 1024, 1024 ** 4, '64KiB to 1024GiB'),
  },
  'session_lock.enabled': {
    doc: 'whether the hooks of agents let one session at a time change a workspace',
    default: 'true',
    layers: withoutFlag,
    why: 'hooks have no flags',
    parse: yesOrNo,
  },
  'session_lock.fail': {
    doc: 'what becomes of a tool call when its hook fails: open lets it run, closed blocks it',
    default: 'open',
    layers: withoutFlag,
    why: 'hooks have no flags',
    parse: oneOf('open', 'closed'),
  },
  'session_lock.scope': {
    doc: 'what a session locks: the workspace as a whole, or with path each file that it writes',
    default: 'workspace',
    layers: withoutFlag,
    why: 'hooks have no flags',
    parse: oneOf('workspace', 'path'),
  },
  'session_lock.ttl': {
    doc: 'how long a session lock lasts after the last tool call',
    default: '5m',
    layers: withoutFlag,
    why: 'hooks have no flags',
    parse: duration(10 * secondMs, dayMs, '10s to 1d'),
  },
  'session_lock.outside_git': {
    doc: 'what is locked outside every Git repository: nothing (ignore), or the directory in which the session works (directory)',
    default: 'ignore',
    layers: ['system', 'user', 'environment'],
    why: 'it is about what lies outside every repository',
    parse: oneOf('ignore', 'directory'),
  },
}

/** Every key, in the order of the table. */
export const keys = Object.keys(settings) as readonly Key[]

/** Is this the name of a setting? */
export const isKey = (text: string): text is Key => Object.hasOwn(settings, text)

/** The environment variable that sets a key. */
export const variableOf = (key: Key): string => `LEASEHOLD_${key.toUpperCase().replaceAll('.', '_')}`

/** The flag that sets a key. */
export const flagOf = (key: Key): string => `--${key.replace(/[._]/g, '-')}`

/** The word that was probably meant, null when none is near (at most a third of its letters wrong). */
export function suggest(word: string, words: readonly string[]): string | null {
  const near = words.map(candidate => ({ candidate, distance: distanceOf(word.toLowerCase(), candidate.toLowerCase()) }))
  near.sort((a, b) => a.distance - b.distance)
  const best = near[0]
  return best !== undefined && best.distance <= Math.max(2, Math.floor(best.candidate.length / 3)) ? best.candidate : null
}

/** Letters to insert, delete or replace (Levenshtein), two rows at a time. */
function distanceOf(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
