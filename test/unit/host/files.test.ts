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
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { makeDirectory, makePrivateDirectory, readJson, writeFileAtomic } from '../../../src/host/files.ts'

const base = mkdtempSync(join(tmpdir(), 'lh-files-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))
const permissions = (path: string): number => statSync(path).mode & 0o777

describe('makeDirectory', () => {
  it('makes what is missing above it, with its mode, and takes what is there', () => {
    const path = join(base, 'made/a/b')
    makeDirectory(path, 0o700)
    for (const each of ['made', 'made/a', 'made/a/b']) expect(permissions(join(base, each))).toBe(0o700)
    makeDirectory(path)
    expect(permissions(path)).toBe(0o700)
    symlinkSync(path, join(base, 'way'))
    makeDirectory(join(base, 'way/c'))
    expect(statSync(join(path, 'c')).isDirectory()).toBe(true)
  })

  it('fails where a file is in the way', () => {
    writeFileSync(join(base, 'file'), '')
    expect(() => makeDirectory(join(base, 'file'))).toThrow('EEXIST')
    expect(() => makeDirectory(join(base, 'file/a'))).toThrow('ENOTDIR')
  })

  it.runIf(process.platform === 'linux')('fails at once where nothing can be made', () => {
    expect(() => makeDirectory('/proc/nowhere')).toThrow('ENOENT')
    expect(() => makeDirectory('/proc/nowhere/at/all')).toThrow('ENOENT')
  })
})

describe('writeFileAtomic', () => {
  it('writes and replaces, with the mode that was asked for, leaving nothing else', () => {
    const directory = join(base, 'write')
    mkdirSync(directory)
    const path = join(directory, 'a.json')
    writeFileAtomic(path, 'one', 0o600)
    writeFileAtomic(path, new TextEncoder().encode('two'), 0o660, { sync: true })
    expect(readFileSync(path, 'utf8')).toBe('two')
    expect(permissions(path)).toBe(0o660)
    expect(readdirSync(directory)).toEqual(['a.json'])
  })

  it('leaves the old content and no temporary file when it fails', () => {
    const directory = join(base, 'fail')
    mkdirSync(join(directory, 'target', 'full'), { recursive: true })
    expect(() => writeFileAtomic(join(directory, 'target'), 'x', 0o600)).toThrow(/EISDIR|ENOTEMPTY|EEXIST/)
    expect(readdirSync(directory)).toEqual(['target'])
    expect(() => writeFileAtomic(join(directory, 'missing', 'file'), 'x', 0o600)).toThrow(/ENOENT/)
  })

  it('replaces a symbolic link instead of writing through it', () => {
    const [victim, link] = [join(base, 'victim'), join(base, 'link')]
    writeFileSync(victim, 'mine')
    symlinkSync(victim, link)
    writeFileAtomic(link, 'new', 0o600)
    expect([readFileSync(victim, 'utf8'), readFileSync(link, 'utf8')]).toEqual(['mine', 'new'])
  })
})

describe('readJson', () => {
  it('reads JSON, and says nothing of a missing file', () => {
    const path = join(base, 'good.json')
    writeFileSync(path, '{"a":[1]}')
    expect(readJson(path)).toEqual({ a: [1] })
    expect(readJson(join(base, 'none.json'))).toBe(undefined)
    expect(readJson(join(path, 'below'))).toBe(undefined)
  })

  it('refuses what is broken, a symbolic link, a directory, and a FIFO that nobody feeds', () => {
    const [broken, link, fifo] = [join(base, 'broken.json'), join(base, 'link.json'), join(base, 'fifo.json')]
    writeFileSync(broken, '{"a":')
    symlinkSync(join(base, 'good.json'), link)
    execFileSync('mkfifo', [fifo])
    for (const path of [broken, link, fifo, base]) {
      expect(() => readJson(path)).toThrow(
        expect.objectContaining({ name: 'Fault', code: 'unavailable', message: expect.stringContaining(path) }),
      )
    }
  })
})

describe('makePrivateDirectory', () => {
  it('makes it for us alone, or for the group, and takes what is there', () => {
    const [own, group] = [join(base, 'own'), join(base, 'group')]
    makePrivateDirectory(own, false)
    expect(permissions(own)).toBe(0o700)
    const before = process.umask(0o022)
    makePrivateDirectory(group, true)
    process.umask(before)
    expect(permissions(group)).toBe(0o770)
    chmodSync(own, 0o755)
    makePrivateDirectory(own, false)
    expect(permissions(own)).toBe(0o755)
  })

  it('does not follow a symbolic link', () => {
    const link = join(base, 'linked')
    symlinkSync(join(base, 'own'), link)
    expect(() => makePrivateDirectory(link, false)).toThrow(expect.objectContaining({ code: 'unavailable' }))
    expect(existsSync(link)).toBe(true)
  })
})
