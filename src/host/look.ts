import { lstatSync, readlinkSync, statSync } from 'node:fs'

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
