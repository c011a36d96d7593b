import { lstatSync, statSync } from 'node:fs'
import { readJson, writeFileAtomic } from '../../host/files.ts'
import { configCacheFile, storeDirectory } from '../../host/paths.ts'

/** One setting as a file says it. */
export interface Entry {
  readonly key: string
  readonly text: string
  /** Line in the file, from 1. */
  readonly line: number
}

/** What a configuration file said when its stamp was this. */
interface CachedFile {
  readonly stamp: string
  readonly entries: readonly Entry[]
}

/** Git's `user.name`, and the stamps of all files that could change it. */
export interface CachedName {
  readonly name: string
  readonly needs: readonly (readonly [path: string, stamp: string])[]
}

/** What was parsed before. Keyed by absolute paths and by the variables that Git looks at, so homes and worktrees do not mix. */
export interface Cache {
  readonly files: Map<string, CachedFile>
  readonly names: Map<string, CachedName>
}

const format = 1

/** Far more than one repository's worktrees need; the oldest go first. */
const maxItems = 200

const cachePath = (commonDir: string): string => configCacheFile(commonDir, process.geteuid?.() ?? 0)

/** The cache, empty when there is none that this user wrote. Never throws: it only saves time. */
export function readCache(commonDir: string): Cache {
  try {
    const path = cachePath(commonDir)
    const stats = lstatSync(path, { throwIfNoEntry: false })
    // Whoever else could have written it could make us somebody else.
    if (stats === undefined || stats.uid !== (process.geteuid?.() ?? stats.uid) || (stats.mode & 0o022) !== 0) return emptyCache()
    return parseCache(readJson(path)) ?? emptyCache()
  } catch {
    return emptyCache()
  }
}

/** Keeps what was parsed, if there is a store to keep it beside. Never throws, never makes a directory. */
export function writeCache(commonDir: string, cache: Cache): void {
  const newest = <T>(items: ReadonlyMap<string, T>) => Object.fromEntries([...items].slice(-maxItems))
  try {
    if (statSync(storeDirectory(commonDir), { throwIfNoEntry: false }) === undefined) return
    writeFileAtomic(cachePath(commonDir), JSON.stringify({ format, files: newest(cache.files), names: newest(cache.names) }), 0o600)
  } catch {
    // A read-only repository, or none, is parsed each time; nothing is wrong with that.
  }
}

const emptyCache = (): Cache => ({ files: new Map(), names: new Map() })

/** Null for anything that this version would not have written. */
function parseCache(content: unknown): Cache | null {
  if (!isRecord(content) || content['format'] !== format || !isRecord(content['files']) || !isRecord(content['names'])) return null
  const files = Object.entries(content['files'])
  const names = Object.entries(content['names'])
  return files.every(isFile) && names.every(isName) ? { files: new Map(files), names: new Map(names) } : null
}

const isFile = (item: [string, unknown]): item is [string, CachedFile] =>
  isRecord(item[1]) && typeof item[1]['stamp'] === 'string' && Array.isArray(item[1]['entries']) && item[1]['entries'].every(isEntry)

const isEntry = (value: unknown): boolean =>
  isRecord(value) && typeof value['key'] === 'string' && typeof value['text'] === 'string' && typeof value['line'] === 'number'

const isName = (item: [string, unknown]): item is [string, CachedName] =>
  isRecord(item[1]) && typeof item[1]['name'] === 'string' && Array.isArray(item[1]['needs']) && item[1]['needs'].every(isNeed)

const isNeed = (value: unknown): boolean => Array.isArray(value) && value.length === 2 && value.every(part => typeof part === 'string')

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)
