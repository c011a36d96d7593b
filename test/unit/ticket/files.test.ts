import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  createTicketDirectory,
  hashOf,
  maxTicketBytes,
  prepareReplacement,
  readRegular,
  replaceFile,
  ticketsDirectory,
} from '../../../src/service/ticket/files.ts'
import { beyond } from '../../support/skip.ts'

const needsOrdinaryUser = beyond(process.getuid?.() !== 0, 'needs a user who may not write everywhere')

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lh-files-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    return (error as { code: string }).code
  }
  return 'nothing'
}

const id = '20260607-220225-x'

describe('createTicketDirectory', () => {
  it('makes all files, and their folders', () => {
    createTicketDirectory(root, id, { 'ticket.md': 'text', 'artifacts/deep/a.bin': Buffer.from([0, 255]), 'events.jsonl': '' })
    const directory = join(ticketsDirectory(root), id)
    expect(readFileSync(join(directory, 'ticket.md'), 'utf8')).toBe('text')
    expect([...readFileSync(join(directory, 'artifacts/deep/a.bin'))]).toEqual([0, 255])
    expect(readdirSync(directory).sort()).toEqual(['artifacts', 'events.jsonl', 'ticket.md'])
    expect(readdirSync(ticketsDirectory(root))).toEqual([id])
  })

  it('refuses one that exists, in whatever form, and leaves nothing', () => {
    const target = join(ticketsDirectory(root), id)
    const attempt = (): string => codeOf(() => createTicketDirectory(root, id, { 'ticket.md': 'new' }))
    createTicketDirectory(root, id, { 'ticket.md': 'old' })
    expect(attempt()).toBe('policy')
    expect(readFileSync(join(target, 'ticket.md'), 'utf8')).toBe('old')
    for (const put of [() => mkdirSync(target), () => writeFileSync(target, ''), () => symlinkSync('/nowhere', target)]) {
      rmSync(target, { recursive: true })
      put()
      expect(attempt()).toBe('policy')
      expect(readdirSync(ticketsDirectory(root))).toEqual([id])
    }
  })

  it('takes no name that leads elsewhere', () => {
    for (const bad of ['', '../x', 'A', '.tmp', 'a/b', 'x'.repeat(129)]) {
      expect(codeOf(() => createTicketDirectory(root, bad, {}))).toBe('usage')
    }
    for (const name of ['../x', '/x/../../y', '.', 'a/../../x']) {
      expect(codeOf(() => createTicketDirectory(root, id, { [name]: '' }))).toBe('usage')
      expect(existsSync(join(ticketsDirectory(root), id))).toBe(false)
    }
  })

  it('does not go through a symbolic link', () => {
    const elsewhere = join(root, 'elsewhere')
    mkdirSync(elsewhere)
    symlinkSync(elsewhere, join(root, '.leasehold'))
    expect(codeOf(() => createTicketDirectory(root, id, { 'ticket.md': '' }))).toBe('unavailable')
    expect(readdirSync(elsewhere)).toEqual([])
  })

  needsOrdinaryUser.it('says what cannot be written', () => {
    chmodSync(root, 0o500)
    expect(codeOf(() => createTicketDirectory(root, id, { 'ticket.md': '' }))).toBe('unavailable')
    chmodSync(root, 0o700)
  })
})

describe('replaceFile', () => {
  it('replaces what was read, and keeps the permissions', () => {
    const file = join(root, 'ticket.md')
    writeFileSync(file, 'old')
    chmodSync(file, 0o640)
    replaceFile(file, 'new', hashOf('old'))
    expect(readFileSync(file, 'utf8')).toBe('new')
    expect(statSync(file).mode & 0o777).toBe(0o640)
    expect(readdirSync(root)).toEqual(['ticket.md'])
  })

  it('makes a missing one, when it is expected to be missing', () => {
    const file = join(root, 'resolution.md')
    expect(codeOf(() => replaceFile(file, 'new', hashOf('old')))).toBe('policy')
    expect(readdirSync(root)).toEqual([])
    replaceFile(file, 'new', null)
    expect(codeOf(() => replaceFile(file, 'newer', null))).toBe('policy')
    expect(readFileSync(file, 'utf8')).toBe('new')
    expect(readdirSync(root)).toEqual(['resolution.md'])
  })

  it('refuses a file that is no longer what was read, and leaves it', () => {
    const file = join(root, 'ticket.md')
    writeFileSync(file, 'old')
    const replacement = prepareReplacement(file, 'new')
    writeFileSync(file, 'an editor was here')
    expect(codeOf(() => replacement.commit(hashOf('old')))).toBe('policy')
    expect(readFileSync(file, 'utf8')).toBe('an editor was here')
    expect(readdirSync(root)).toEqual(['ticket.md'])
  })

  it('does not take a file that is not UTF-8 for one that was changed', () => {
    const file = join(root, 'ticket.md')
    writeFileSync(file, Buffer.from([0x61, 0xff]))
    expect(codeOf(() => replaceFile(file, 'new', hashOf(readFileSync(file, 'utf8'))))).toBe('usage')
    expect([...readFileSync(file)]).toEqual([0x61, 0xff])
  })

  it('writes no ticket that could not be read again', () => {
    const long = 'x'.repeat(maxTicketBytes + 1)
    expect(codeOf(() => replaceFile(join(root, 'ticket.md'), long, null))).toBe('usage')
    expect(codeOf(() => createTicketDirectory(root, id, { 'ticket.md': long }))).toBe('usage')
    createTicketDirectory(root, id, { 'artifacts/long': long })
    expect(readdirSync(root)).toEqual(['.leasehold'])
    expect(readdirSync(ticketsDirectory(root))).toEqual([id])
  })

  it('replaces no symbolic link', () => {
    const file = join(root, 'ticket.md')
    writeFileSync(join(root, 'other'), 'old')
    symlinkSync(join(root, 'other'), file)
    expect(codeOf(() => replaceFile(file, 'new', hashOf('old')))).toBe('policy')
    expect(readFileSync(join(root, 'other'), 'utf8')).toBe('old')
  })

  it('forgets a replacement that is not wanted any more', () => {
    prepareReplacement(join(root, 'ticket.md'), 'new').discard()
    expect(readdirSync(root)).toEqual([])
  })

  it('says what cannot be written', () => {
    expect(codeOf(() => replaceFile(join(root, 'missing', 'ticket.md'), 'x', null))).toBe('unavailable')
  })
})

describe('readRegular', () => {
  it('reads a file, and says in a word why not', () => {
    const file = join(root, 'file')
    writeFileSync(file, 'text')
    expect(readRegular(file, 4).toString()).toBe('text')
    expect(readRegular(file, 3)).toBe('too large')
    expect(readRegular(join(root, 'none'), 9)).toBe('missing')
    expect(readRegular(join(file, 'below'), 9)).toBe('missing')
    expect(readRegular(root, 1e6)).toBe('not a regular file')
    symlinkSync(file, join(root, 'link'))
    expect(readRegular(join(root, 'link'), 9)).toBe('symbolic link')
  })

  it('does not wait for the other end of a pipe, nor read a file without end', () => {
    execFileSync('mkfifo', [join(root, 'pipe')])
    expect(readRegular(join(root, 'pipe'), 9)).toBe('not a regular file')
    const huge = join(root, 'huge')
    writeFileSync(huge, '')
    truncateSync(huge, 2 ** 40)
    expect(readRegular(huge, maxTicketBytes)).toBe('too large')
  })
})

describe('hashOf', () => {
  it('is the SHA-256 of the bytes', () => {
    expect(hashOf('日本')).toBe(createHash('sha256').update('日本').digest('hex'))
    expect(hashOf(Buffer.from('日本'))).toBe(hashOf('日本'))
  })
})
