import { openSync, closeSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'

/** The home of whoever runs the agent. */
export const homeOf = (env: NodeJS.ProcessEnv): string => env['HOME'] || process.getBuiltinModule('node:os').homedir()

/** Names in a directory, newest first by name; none where it cannot be read. */
export function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted((a, b) => (a < b ? 1 : -1))
  } catch {
    return []
  }
}

/** The first file at this depth below a directory whose name passes; null: none. The newest directories, by name, come first. */
export function fileBelow(directory: string, depth: number, passes: (name: string, path: string) => boolean): string | null {
  for (const name of namesIn(directory)) {
    const path = join(directory, name)
    const found = depth > 0 ? fileBelow(path, depth - 1, passes) : passes(name, path) ? path : null
    if (found !== null) return found
  }
  return null
}

/** The beginning of a file, empty where it cannot be read. */
export function beginning(path: string, bytes: number): string {
  try {
    const fd = openSync(path, 'r')
    try {
      const buffer = Buffer.alloc(bytes)
      return buffer.toString('utf8', 0, readSync(fd, buffer, 0, bytes, 0))
    } finally {
      closeSync(fd)
    }
  } catch {
    return ''
  }
}
