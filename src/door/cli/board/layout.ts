import { cutTo } from '../progress.ts'
import { columns, printable } from '../text.ts'
import { chosenItem } from './model.ts'
import type { Board, Tone } from './model.ts'

/** Of the terminal, in signs. */
export interface Size {
  readonly columns: number
  readonly rows: number
}

/** A line of the screen, already cut to its width. */
export interface Line {
  readonly text: string
  readonly tone: Tone | 'heading' | 'chosen' | 'dim'
}

const keysLine = 'arrows choose · Enter opens · c launches intake · r reclaims · q quits'

/**
 * The whole screen, at most `rows` lines of at most `columns` signs. The chosen line is always among them; on a screen that is too low
 * for everything, the title goes first, then the keys, then the message; while nothing is known that is said above the rest on every one.
 */
export function layoutBoard(board: Board, title: string, { columns: width, rows }: Size): readonly Line[] {
  const asked = board.asking === null ? board.message : `why is ${board.asking.name} reclaimed? ${board.asking.text}_`
  const message: readonly Line[] = asked === '' ? [] : [{ text: asked, tone: 'heading' }]
  const foot: readonly Line[] = [...message, { text: keysLine, tone: 'dim' }]
  const below = foot.slice(0, Math.max(0, Math.min(foot.length, rows - 1)))
  const named: readonly Line[] = rows - below.length > 2 ? [{ text: title, tone: 'heading' }] : []
  // However much is below, it is seen.
  const why = inTrouble(board, width).slice(0, Math.max(1, Math.ceil((rows - below.length - named.length) / 2)))
  const head: readonly Line[] = [...named, ...why]
  const body = board.trouble === null || board.sections.length > 0 ? bodyOf(board) : []
  const height = Math.max(0, rows - head.length - below.length)
  const shown = windowOf(body, height)
  const filled = [...shown, ...Array.from({ length: height - shown.length }, (): Line => ({ text: '', tone: 'plain' }))]
  return [...head, ...filled, ...below].map(({ text, tone }) => ({ text: cutTo(printable(text), width), tone }))
}

/** That nothing is known, why, and of when what is below is. */
function inTrouble({ trouble, seenAt, sections }: Board, width: number): readonly Line[] {
  if (trouble === null) return []
  const before = sections.length === 0 ? '' : ` As it was at ${new Date(seenAt).toISOString()}:`
  return wrapped(`what is held is unknown: ${trouble}.${before}`, width).map(text => ({ text, tone: 'dead' }))
}

/** In lines of so many signs, between words where that is possible. */
function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!
    if (line === '') lines[lines.length - 1] = word
    else if (line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}

function bodyOf(board: Board): readonly Line[] {
  if (board.sections.length === 0) return [{ text: 'nobody holds anything here, and nothing was launched', tone: 'plain' }]
  const chosen = chosenItem(board)
  return board.sections.flatMap(({ title, items }, at): readonly Line[] => {
    const rows = columns(items.map(({ cells }) => cells.map(printable)))
    return [
      ...(at === 0 ? [] : [{ text: '', tone: 'plain' as const }]),
      { text: `${title} (${items.length})`, tone: 'heading' },
      ...items.map((item, row): Line => ({
        text: `${item === chosen ? '> ' : '  '}${rows[row]}`,
        tone: item === chosen ? 'chosen' : item.tone,
      })),
    ]
  })
}

/** The part that fits, with the chosen line in its middle where there is more on both sides. */
function windowOf(body: readonly Line[], height: number): readonly Line[] {
  if (body.length <= height) return body
  const chosen = Math.max(
    0,
    body.findIndex(({ tone }) => tone === 'chosen'),
  )
  const start = Math.max(0, Math.min(chosen - Math.floor(height / 2), body.length - height))
  return body.slice(start, start + height)
}
