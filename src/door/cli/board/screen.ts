import { writeText } from '../output.ts'
import { paint } from '../text.ts'
import { keysIn } from './keys.ts'
import type { Key } from './keys.ts'
import type { Line, Size } from './layout.ts'

// The terminal while a board is on it: its alternate screen, without a cursor, every key as it is pressed. Whatever ends the process,
// a kill apart, leaves the terminal as it was.

const enter = '\u001b[?1049h\u001b[?25l\u001b[2J'
const leave = '\u001b[?25h\u001b[?1049l'

const styles = {
  heading: 'bold',
  chosen: 'inverse',
  dim: 'dim',
  live: 'green',
  restorable: 'cyan',
  stale: 'yellow',
  dead: 'red',
  pending: 'cyan',
  plain: null,
} as const

export interface Screen {
  readonly size: Size
  draw(lines: readonly Line[]): void
  /** Gives the terminal back for a while. */
  close(): void
  /** Takes it again. */
  open(): void
}

/** Takes the terminal. Keys and changes of its size are told until it is closed. */
export function takeScreen(colour: boolean, told: { readonly keys: (keys: readonly Key[]) => void; readonly resized: () => void }): Screen {
  const { stdin, stdout } = process
  let isOpen = false
  let drawn = ''
  const onData = (chunk: string): void => told.keys(keysIn(chunk))
  const onResize = (): void => {
    drawn = ''
    told.resized()
  }
  const close = (): void => {
    if (!isOpen) return
    isOpen = false
    stdin.off('data', onData).pause()
    stdout.off('resize', onResize)
    if (stdin.isRaw) stdin.setRawMode(false)
    writeText(1, leave)
  }
  const open = (): void => {
    if (isOpen) return
    isOpen = true
    drawn = ''
    writeText(1, enter)
    stdin.setRawMode(true)
    stdin.setEncoding('utf8').on('data', onData).resume()
    stdout.on('resize', onResize)
    // A program that had the terminal for itself was told of a new size alone: Node looks for it at this signal.
    process.kill(process.pid, 'SIGWINCH')
  }
  // Also after a crash: Node emits this before it prints what went wrong, so that is not lost with the alternate screen.
  process.on('exit', close)
  open()
  return {
    get size() {
      return { columns: stdout.columns || 80, rows: stdout.rows || 24 }
    },
    draw(lines) {
      const frame = frameOf(lines, colour)
      if (!isOpen || frame === drawn) return
      drawn = frame
      writeText(1, frame)
    },
    close,
    open,
  }
}

/** Each line is cleared before it is written: after a full line, clearing would take its last sign away. */
const frameOf = (lines: readonly Line[], colour: boolean): string =>
  `\u001b[H${lines.map(line => `\u001b[2K${painted(line, colour)}`).join('\r\n')}\u001b[J`

function painted({ text, tone }: Line, colour: boolean): string {
  const style = styles[tone]
  return style === null ? text : paint(colour, style, text)
}
