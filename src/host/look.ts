import { existsSync, lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs'

// What lies at a path, for whoever goes on in any case: what cannot be looked at is not there.

/** Where the symbolic link at a path leads, as it says; null when there is none. */
export function linkAt(path: string): string | null {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : null
  } catch {
    return null
  }
}

/** Is a directory there, or a link to one? */
export function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  } catch {
    return false
  }
}

/** The path itself if something is there, else the first that it stands for: in a name a `*` means anything. Null when there is none. */
export function presentAt(path: string): string | null {
  if (existsSync(path)) return path
  const star = path.indexOf('*')
  if (star < 0) return null
  const from = path.lastIndexOf('/', star) + 1
  const to = path.indexOf('/', star) < 0 ? path.length : path.indexOf('/', star)
  const [above, rest] = [path.slice(0, from), path.slice(to)]
  const [before, after] = [path.slice(from, star), path.slice(star + 1, to)]
  for (const name of namesIn(above)) {
    const fits = name.length >= before.length + after.length && name.startsWith(before) && name.endsWith(after)
    const found = fits ? presentAt(`${above}${name}${rest}`) : null
    if (found !== null) return found
  }
  return null
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
