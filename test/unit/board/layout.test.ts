import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { layoutBoard } from '../../../src/door/cli/board/layout.ts'
import { emptyBoard, refreshed } from '../../../src/door/cli/board/model.ts'
import type { Board, Item } from '../../../src/door/cli/board/model.ts'

const item = (name: string): Item => ({ key: name, cells: [name, 'live'], tone: 'plain', subject: { kind: 'lease', resource: name } })
const boardOf = (count: number, more: Partial<Board> = {}): Board => ({
  ...refreshed(emptyBoard, [{ title: 'all', items: Array.from({ length: count }, (_, at) => item(`item-${at}`)) }]),
  ...more,
})
const texts = (board: Board, columns: number, rows: number): readonly string[] =>
  layoutBoard(board, 'title', { columns, rows }).map(({ text }) => text)

describe('the screen', () => {
  it('has a title, the sections with their columns aligned, and the keys at its foot', () => {
    const board = refreshed(emptyBoard, [
      { title: 'first', items: [item('a'), item('a-longer-one')] },
      { title: 'second', items: [item('b')] },
    ])
    expect(texts({ ...board, chosen: 'a-longer-one' }, 80, 9)).toEqual([
      'title',
      'first (2)',
      '  a             live',
      '> a-longer-one  live',
      '',
      'second (1)',
      '  b  live',
      '',
      expect.stringMatching(/^arrows choose .* q quits$/),
    ])
  })

  it('says when there is nothing', () => {
    expect(texts(emptyBoard, 80, 4)[1]).toMatch(/^nobody holds anything/)
  })

  it('says why nothing is known above the rest, however much that is and wherever it is scrolled to', () => {
    const trouble = { trouble: 'the store file:/somewhere/far/away is gone', seenAt: 0 }
    expect(texts(boardOf(2, trouble), 44, 8)).toEqual([
      'title',
      'what is held is unknown: the store',
      'file:/somewhere/far/away is gone. As it was',
      // Half of the screen is for what is below.
      'at 1970-01-01T00:00:00.000Z:',
      'all (2)',
      '> item-0  live',
      '  item-1  live',
      expect.stringMatching(/^arrows/),
    ])
    for (let rows = 1; rows <= 30; rows++) {
      const lines = texts(boardOf(50, { ...trouble, chosen: 'item-49', message: 'done' }), 60, rows)
      expect(lines).toHaveLength(rows)
      expect(lines.join('\n')).toContain('what is held is unknown: ')
      if (rows > 3) expect(lines).toContain('> item-49  live')
    }
    expect(texts({ ...emptyBoard, ...trouble }, 80, 6).join(' ')).not.toContain('nobody holds')
  })

  it('has the message, or the question, above the keys', () => {
    expect(texts(boardOf(1, { message: 'done' }), 80, 6).at(-2)).toBe('done')
    expect(texts(boardOf(1, { message: 'done', asking: { name: 'x', text: 'be' } }), 80, 6).at(-2)).toBe('why is x reclaimed? be_')
  })

  it('shows no control character of what others wrote', () => {
    const board = refreshed(emptyBoard, [{ title: 'all', items: [item('\u001b[2Jx\n')] }])
    expect(texts(board, 80, 5).join('')).toContain(String.raw`\u{1b}[2Jx\u{a}`)
  })

  it('always fills exactly the rows, never more than the columns, with the chosen line on it', () => {
    fc.assert(
      fc.property(
        fc.record({ columns: fc.integer({ min: 1, max: 60 }), rows: fc.integer({ min: 1, max: 40 }) }),
        fc.integer({ min: 0, max: 60 }),
        fc.nat(59),
        fc.constantFrom('', 'a message of some words'),
        (size, count, chosen, message) => {
          const board = boardOf(count, { chosen: chosen < count ? `item-${chosen}` : null, message })
          const lines = layoutBoard(board, 'a title that may be too long for the screen', size)
          expect(lines).toHaveLength(size.rows)
          for (const { text } of lines) expect(text.length).toBeLessThanOrEqual(size.columns)
          expect(lines.filter(({ tone }) => tone === 'chosen')).toHaveLength(chosen < count ? 1 : 0)
        },
      ),
    )
  })
})
