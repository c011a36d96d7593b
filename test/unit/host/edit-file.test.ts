import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { editing, makeDirectories, putText, realPlace, removeText, replaceFile } from '../../../src/host/edit-file.ts'
import { requires } from '../../support/skip.ts'

const needsRoot = requires(process.geteuid?.() === 0, 'needs root, to give files away')
const made = realpathSync(mkdtempSync(join(tmpdir(), 'lh-edit-file-')))
afterAll(() => rmSync(made, { recursive: true, force: true }))
let base: string
let file: string

beforeEach(() => {
  base = mkdtempSync(join(made, 'f-'))
  chmodSync(made, 0o755)
  file = join(base, 'file')
})

const read = (path = file): string | null => (existsSync(path) ? readFileSync(path, 'utf8') : null)
/** Adds a line, as who edits it does. */
const add = (line: string, between: () => void = () => undefined): void =>
  editing(file, real => {
    const before = read(real)
    between()
    putText(real, before, `${before ?? ''}${line}\n`, 0o640)
  })
const owned = (path: string): readonly number[] => {
  const { uid, gid, mode } = lstatSync(path)
  return [uid, gid, mode & 0o7777]
}

describe('realPlace', () => {
  it('follows links to their end, also where nothing is there yet', () => {
    mkdirSync(join(base, 'real/deep'), { recursive: true })
    symlinkSync('real/deep', join(base, 'way'))
    symlinkSync('../none/x', join(base, 'real/deep/dangling'))
    symlinkSync('way/dangling', join(base, 'first'))
    for (const [from, to] of [
      ['real/deep', 'real/deep'],
      ['way/new', 'real/deep/new'],
      ['way/../y', 'real/y'],
      ['way/dangling', 'real/none/x'],
      ['first', 'real/none/x'],
      ['./a//b/', 'a/b'],
    ] as const)
      expect(realPlace(`${base}/${from}`), from).toBe(join(base, to))
  })

  it.each([
    ['one', [['a', 'a']]],
    [
      'two',
      [
        ['a', 'b'],
        ['b', 'a'],
      ],
    ],
    ['one that grows', [['a', 'a/x/../y']]],
    [
      'one on the way',
      [
        ['a', 'b/c'],
        ['b', 'a'],
      ],
    ],
  ] as const)('says of links that have no end that they have none: %s', { timeout: 20_000 }, (_name, links) => {
    for (const [name, target] of links) symlinkSync(target, join(base, name))
    const refusal = expect.objectContaining({ name: 'Fault', code: 'usage', message: expect.stringContaining('have no end') })
    expect(() => realPlace(join(base, 'a'))).toThrow(refusal)
    expect(() => editing(join(base, 'a/file'), () => undefined)).toThrow(refusal)
  })
})

describe('editing', () => {
  it('makes a file with the mode that was asked for, and later keeps the one it has', () => {
    add('one')
    expect([read(), statSync(file).mode & 0o777]).toEqual(['one\n', 0o640])
    chmodSync(file, 0o604)
    add('two')
    expect([read(), statSync(file).mode & 0o777, readdirSync(base)]).toEqual(['one\ntwo\n', 0o604, ['file']])
  })

  it.each([
    ['changed', (): void => writeFileSync(file, 'theirs\n'), 'theirs\nours\n'],
    ['removed', (): void => unlinkSync(file), 'ours\n'],
  ])('begins anew with what others made of it meanwhile: %s', (_how, theirs, after) => {
    writeFileSync(file, 'before\n')
    let times = 0
    add('ours', () => void (times++ === 0 && theirs()))
    expect([read(), times]).toEqual([after, 2])
  })

  it('begins anew with a file that others made meanwhile', () => {
    let times = 0
    add('ours', () => void (times++ === 0 && writeFileSync(file, 'theirs\n')))
    expect([read(), times, readdirSync(base)]).toEqual(['theirs\nours\n', 2, ['file']])
  })

  it('removes only what it has read', () => {
    writeFileSync(file, 'before\n')
    let times = 0
    editing(file, real => {
      const before = read(real)!
      if (times++ === 0) writeFileSync(file, 'theirs\n')
      removeText(real, before)
    })
    expect([read(), times]).toEqual([null, 2])
  })

  it('changes what a link points at, or makes it', () => {
    symlinkSync('target', file)
    for (const line of ['one', 'two']) add(line)
    expect([lstatSync(file).isSymbolicLink(), read(join(base, 'target'))]).toEqual([true, 'one\ntwo\n'])
  })

  it('leaves a file that cannot be opened for writing to who may replace it', () => {
    writeFileSync(file, 'before\n', { mode: 0o444 })
    add('ours')
    expect([read(), statSync(file).mode & 0o777]).toEqual(['before\nours\n', 0o444])
  })
})

needsRoot.describe('of somebody else', () => {
  it('a file stays theirs, with its group and its mode', () => {
    writeFileSync(file, 'before\n')
    chownSync(file, 1001, 1002)
    chmodSync(file, 0o460)
    add('ours')
    expect([read(), ...owned(file)]).toEqual(['before\nours\n', 1001, 1002, 0o460])
    replaceFile(file, 'new', 0o600)
    expect([read(), ...owned(file)]).toEqual(['new', 1001, 1002, 0o460])
  })

  it('a directory gets what root makes in it as its own', () => {
    chownSync(base, 1001, 1002)
    file = join(base, 'a/b/file')
    expect(makeDirectories(join(base, 'a/b'), 0o700)).toEqual([join(base, 'a'), join(base, 'a/b')])
    add('ours')
    expect([join(base, 'a'), join(base, 'a/b'), file].map(owned)).toEqual([
      [1001, 1002, 0o700],
      [1001, 1002, 0o700],
      [1001, 1002, 0o640],
    ])
  })

  it.each([
    ['owner', 1002, 1001, /another user \(1002\)/],
    ['group', 1001, 1002, /the group 1002/],
  ])('a file that could not be left its %s is not changed', (_what, uid, gid, words) => {
    writeFileSync(file, 'before\n')
    chownSync(base, 1001, 1001)
    chownSync(file, uid, gid)
    chmodSync(file, 0o666)
    // Loaded while it may be read.
    add('root’s')
    process.setegid!(1001)
    process.seteuid!(1001)
    try {
      expect(() => add('ours')).toThrow(
        expect.objectContaining({ name: 'Fault', code: 'unavailable', message: expect.stringMatching(words) }),
      )
    } finally {
      process.seteuid!(0)
      process.setegid!(0)
    }
    expect([read(), ...owned(file), readdirSync(base)]).toEqual(['before\nroot’s\n', uid, gid, 0o666, ['file']])
  })
})
