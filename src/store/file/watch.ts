import fs from 'node:fs'
import path from 'node:path'
import type { Layout } from './directory.ts'

/** How often to look where the kernel cannot watch (out of inotify watches, or no directory yet), milliseconds. */
const pollMs = 1000

/**
 * Resolves when the log may have changed or been left, or after `timeoutMs`. Watches the directory: a watch on the file would go dead with the first
 * rotation. `hasChanged` closes the gap between the caller's last look and the watch.
 */
export async function changeIn(layout: Layout, hasChanged: () => boolean, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  const watcher = openWatcher(layout.directory)
  // The format says that the leases have left; the directory's own name, that it was deleted or moved.
  const names = new Set([layout.log, layout.format, layout.directory].map(file => path.basename(file)))
  try {
    while (!hasChanged()) {
      const left = deadline - performance.now()
      if (left <= 0) return
      // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
      const woken = await nextEvent(watcher, names, watcher === null ? Math.min(left, pollMs) : left)
      if (woken) return
    }
  } finally {
    watcher?.close()
  }
}

function openWatcher(directory: string): fs.FSWatcher | null {
  try {
    return fs.watch(directory)
  } catch {
    return null
  }
}

/** True for an event on the file, false for the time-out. */
function nextEvent(watcher: fs.FSWatcher | null, names: ReadonlySet<string>, timeoutMs: number): Promise<boolean> {
  return new Promise(resolve => {
    const done = (woken: boolean): void => {
      clearTimeout(timer)
      watcher?.removeAllListeners()
      resolve(woken)
    }
    const timer = setTimeout(() => done(false), timeoutMs)
    watcher?.on('change', (_event, file) => {
      if (file === null || names.has(String(file))) done(true)
    })
    watcher?.on('error', () => done(true))
  })
}
