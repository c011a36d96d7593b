import type { ChildProcess } from 'node:child_process'
import { rmSync } from 'node:fs'
import { constants } from 'node:os'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Cleans up however this process ends, Ctrl-C included; only SIGKILL leaves things behind. Returns what to call at an orderly end.
 * `cleanUp` has to be synchronous: nothing else runs any more when a process exits.
 */
export function guard(cleanUp: () => void): () => void {
  let done = false
  const once = (): void => {
    if (done) return
    done = true
    cleanUp()
  }
  const onSignal = (signal: (typeof signals)[number]): void => process.exit(128 + constants.signals[signal])
  process.once('exit', once)
  for (const signal of signals) process.once(signal, onSignal)
  return () => {
    process.off('exit', once)
    for (const signal of signals) process.off(signal, onSignal)
    once()
  }
}

/** Kills a child that leads its own process group, together with everything it started. Does nothing when it is gone. */
export function killGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  if (pid === undefined || exitCode !== null || signalCode !== null) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended a moment ago.
  }
}

/** Removes a directory that processes just killed may still have been writing into. */
export const removeTree = (directory: string): void => rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })

/** Resolves when a child has ended and its output has been read. */
export const ended = (child: ChildProcess): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal }))
  })

/** Calls `tell` with each line of a child's standard output. A last line without its end (the child was killed) is dropped. */
export function eachLine(child: ChildProcess, tell: (line: string) => void): void {
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) tell(line)
  })
}
