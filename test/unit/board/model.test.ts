import { describe, expect, it } from 'vitest'
import { keysIn } from '../../../src/door/cli/board/keys.ts'
import type { Key } from '../../../src/door/cli/board/keys.ts'
import { chosenItem, emptyBoard, press, refreshed } from '../../../src/door/cli/board/model.ts'
import type { Board, Item, Section, Subject } from '../../../src/door/cli/board/model.ts'

const item = (key: string, subject: Subject): Item => ({ key, cells: [key], tone: 'plain', subject })
const lease = (name: string): Item => item(name, { kind: 'lease', resource: name })
const session = (name: string, standing: string): Item => item(name, { kind: 'session', name, standing, where: '/somewhere' })
const section = (title: string, ...items: readonly Item[]): Section => ({ title, items })
const boardOf = (...sections: readonly Section[]): Board => refreshed(emptyBoard, sections)

/** Presses one after the other; what was asked for last. */
function pressed(board: Board, ...keys: readonly Key[]): ReturnType<typeof press> {
  let result: ReturnType<typeof press> = { board, action: null }
  for (const key of keys) result = press(result.board, key)
  return result
}

const down: Key = { name: 'down' }
const up: Key = { name: 'up' }
const enter: Key = { name: 'enter' }
const typed = (text: string): readonly Key[] => [...text].map(letter => ({ text: letter }))

describe('choosing', () => {
  const board = boardOf(section('one', lease('a'), lease('b')), section('two', lease('c')))

  it('begins with the first, crosses sections, and stops at the ends', () => {
    expect(board.chosen).toBe('a')
    expect(pressed(board, down).board.chosen).toBe('b')
    expect(pressed(board, down, down).board.chosen).toBe('c')
    expect(pressed(board, down, down, down).board.chosen).toBe('c')
    expect(pressed(board, up).board.chosen).toBe('a')
    expect(pressed(board, { name: 'end' }).board.chosen).toBe('c')
    expect(pressed(board, { name: 'end' }, { name: 'home' }).board.chosen).toBe('a')
    expect(pressed(board, { name: 'page-down' }, { name: 'page-up' }).board.chosen).toBe('a')
    expect(pressed(board, ...typed('jjk')).board.chosen).toBe('b')
    expect(pressed(boardOf(), down, enter).board).toMatchObject({ chosen: null, message: '' })
  })

  it('stays with what was chosen, wherever it moves', () => {
    const chosen = pressed(board, down).board
    expect(refreshed(chosen, [section('new', lease('x'), lease('y')), section('two', lease('c'), lease('b'))]).chosen).toBe('b')
  })

  it('goes to what took its place when it is gone', () => {
    const chosen = pressed(board, down).board
    expect(refreshed(chosen, [section('one', lease('a'), lease('c'))]).chosen).toBe('c')
    expect(refreshed(chosen, [section('one', lease('a'))]).chosen).toBe('a')
    expect(refreshed(chosen, []).chosen).toBeNull()
    expect(refreshed(refreshed(chosen, []), [section('one', lease('z'))]).chosen).toBe('z')
  })
})

describe('keys', () => {
  const all = boardOf(
    section(
      'all',
      session('lives', 'live'),
      session('ended', 'restorable'),
      session('silent', 'stale'),
      session('gone', 'dead'),
      item('a ticket', { kind: 'ticket', id: 'fix' }),
      item('a launch', { kind: 'pending', resource: 'ticket:x', open: null }),
      item('a rest', { kind: 'pending', resource: 'ticket:y', open: 'lh session end y' }),
      lease('env:x'),
    ),
  )
  const on = (key: string): Board => ({ ...all, chosen: key })

  it.each([
    ['lives', null, /lives works in \/somewhere/],
    ['ended', { kind: 'resume', name: 'ended' }, /^$/],
    ['silent', null, /silent is stale/],
    ['gone', null, /gone is dead/],
    ['a ticket', null, /lh ticket show fix/],
    ['a launch', null, /being launched/],
    ['a rest', null, /lh session end y/],
    ['env:x', null, /lh why env:x/],
  ])('Enter on %s', (key, action, message) => {
    const result = pressed(on(key), enter)
    expect(result.action).toEqual(action)
    expect(result.board.message).toMatch(message)
  })

  it('c is for tickets, r for stale sessions', () => {
    expect(pressed(on('a ticket'), { text: 'c' }).action).toEqual({ kind: 'launch', ticket: 'fix' })
    for (const { key } of all.sections[0]!.items) {
      if (key !== 'a ticket') expect(pressed(on(key), { text: 'c' })).toMatchObject({ action: null, board: { message: /c is for/ } })
      if (key !== 'silent') expect(pressed(on(key), { text: 'r' })).toMatchObject({ action: null, board: { asking: null } })
    }
    expect(chosenItem(pressed(on('silent'), { text: 'r' }).board)?.key).toBe('silent')
  })

  it('ask for a reason, and take none for no', () => {
    const asked = pressed(on('silent'), ...typed('rquit x')).board
    expect(asked.asking).toEqual({ name: 'silent', text: 'quit x' })
    expect(pressed(asked, enter).action).toEqual({ kind: 'reclaim', name: 'silent', reason: 'quit x' })
    expect(pressed(asked, { name: 'backspace' }, enter).action).toEqual({ kind: 'reclaim', name: 'silent', reason: 'quit' })
    expect(pressed(asked, { name: 'escape' })).toMatchObject({ action: null, board: { asking: null } })
    expect(pressed(on('silent'), ...typed('r  '), enter)).toMatchObject({ action: null, board: { asking: null } })
    expect(pressed(asked, down, up).board.asking).toEqual(asked.asking)
  })

  it('end it in every state', () => {
    expect(pressed(on('lives'), { text: 'q' }).action).toEqual({ kind: 'quit' })
    expect(pressed(on('silent'), { text: 'r' }, { text: 'q' }).action).toBeNull()
    expect(pressed(on('silent'), { text: 'r' }, { name: 'interrupt' }).action).toEqual({ kind: 'quit' })
  })
})

describe('what a terminal sends', () => {
  it.each([
    ['\u001b[A\u001b[B', [up, down]],
    ['\u001bOA\u001bOB', [up, down]],
    ['\u001b[1;5A', []],
    ['\u001b[5~\u001b[6~\u001b[H\u001b[4~', [{ name: 'page-up' }, { name: 'page-down' }, { name: 'home' }, { name: 'end' }]],
    ['\u001b[200~', []],
    ['\u001b', [{ name: 'escape' }]],
    ['\r', [enter]],
    ['\u0003\u001a\u007f', [{ name: 'interrupt' }, { name: 'suspend' }, { name: 'backspace' }]],
    ['aé😀', [{ text: 'a' }, { text: 'é' }, { text: '😀' }]],
    ['\u0001\u0000', []],
  ])('%j', (chunk, keys) => {
    expect(keysIn(chunk)).toEqual(keys)
  })
})
