import type { Output } from './command.ts'
import { writeText } from './output.ts'

/** A bar on standard error while something long runs; nothing where that is no terminal. */
export interface ProgressBar {
  readonly show: (done: number, total: number) => void
  readonly clear: () => void
}

const width = 30
const everyMs = 100

export function progressBar({ json, quiet }: Output, title: string): ProgressBar {
  if (json || quiet || !process.stderr.isTTY) return { show: () => undefined, clear: () => undefined }
  let shownAt = 0
  let shown = false
  return {
    show(done, total) {
      const now = performance.now()
      if (now - shownAt < everyMs) return
      shownAt = now
      shown = true
      const share = total === 0 ? 1 : done / total
      const full = Math.round(share * width)
      writeText(2, `\r${title} [${'#'.repeat(full)}${'.'.repeat(width - full)}] ${Math.floor(share * 100)}%`)
    },
    clear() {
      if (shown) writeText(2, `\r${' '.repeat(title.length + width + 10)}\r`)
    },
  }
}

/** One line on standard error that is written over again and again; nothing where that is no terminal. */
export interface StatusLine {
  readonly show: (text: string) => void
  readonly clear: () => void
}

export function statusLine({ json, quiet }: Output): StatusLine {
  if (json || quiet || !process.stderr.isTTY) return { show: () => undefined, clear: () => undefined }
  let shown = false
  return {
    show(text) {
      shown = true
      writeText(2, `\r${cutTo(text, (process.stderr.columns || 80) - 1)}\u001b[K`)
    },
    clear() {
      if (shown) writeText(2, '\r\u001b[K')
      shown = false
    },
  }
}

/** The beginning of a text that fits; what may be wide counts as wide. */
export function cutTo(text: string, columns: number): string {
  let used = 0
  let out = ''
  for (const sign of text) {
    used += sign.codePointAt(0)! < 0x1100 ? 1 : 2
    if (used > columns) break
    out += sign
  }
  return out
}
