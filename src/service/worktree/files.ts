import { lstatSync, readdirSync } from 'node:fs'

// The files of a worktree as they lie on the disk. Names are bytes there; here each byte is a character.

/** What lies in a worktree. */
export interface Found {
  /** Files and symbolic links, with a text that is another one when the file is. */
  readonly files: ReadonlyMap<string, string>
  /** Directories that are repositories of their own. They are not looked into. */
  readonly nested: readonly string[]
  /** Pipes, sockets and devices: no content that could be kept. */
  readonly special: readonly string[]
}

/** Everything below a directory but its own `.git`, and what is in `skip` (a directory ends with a slash); below `from` (the same) only. */
export function filesBelow(top: string, skip: ReadonlySet<string>, from = ''): Found {
  const files = new Map<string, string>()
  const nested: string[] = []
  const special: string[] = []
  const walk = (relative: string): void => {
    for (const entry of readdirSync(at(top, relative), { withFileTypes: true, encoding: 'buffer' })) {
      const name = `${relative}${entry.name.toString('latin1')}`
      if (name === '.git' || skip.has(name) || skip.has(`${name}/`)) continue
      if (entry.isDirectory()) {
        if (lstatSync(at(top, `${name}/.git`), { throwIfNoEntry: false }) === undefined) walk(`${name}/`)
        else nested.push(name)
      } else if (entry.isFile() || entry.isSymbolicLink()) {
        const { size, mtimeNs, ino, mode } = lstatSync(at(top, name), { bigint: true })
        files.set(name, `${size} ${mtimeNs} ${ino} ${mode}`)
      } else special.push(name)
    }
  }
  walk(from)
  return { files, nested, special }
}

/** The path of a file, as the system takes it. */
export const at = (top: string, name: string): Buffer => Buffer.concat([Buffer.from(`${top}/`), Buffer.from(name, 'latin1')])

/** Bytes that a file or everything below a directory has, as far as it can be read; stops counting above the limit. */
export function sizeOf(top: string, name: string, limit = Number.POSITIVE_INFINITY): number {
  let bytes = 0
  const add = (path: Buffer): void => {
    if (bytes > limit) return
    const stats = lstatSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return
    bytes += stats.isDirectory() ? 0 : stats.size
    if (!stats.isDirectory()) return
    for (const entry of readdirSync(path, { encoding: 'buffer' })) add(Buffer.concat([path, Buffer.from('/'), entry]))
  }
  try {
    add(at(top, name.replace(/\/$/, '')))
  } catch {
    // What cannot be read is not small.
    return Number.POSITIVE_INFINITY
  }
  return bytes
}

/** Names as people and documents have them. */
export const shown = (name: string): string => Buffer.from(name, 'latin1').toString('utf8')

/** Names at most a few of many. */
export const few = (names: readonly string[]): string =>
  `${names.slice(0, 5).join(', ')}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`
