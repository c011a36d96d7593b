import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { findRepository } from '../../../src/host/git.ts'
import {
  checkGateKey,
  Definitions,
  differences,
  formatDefinition,
  formatTimeout,
  gatesDirectory,
  parseDefinition,
  parseTimeout,
  writeDefinition,
  type Definition,
} from '../../../src/service/gate/definition.ts'

const base = realpathSync(mkdtempSync(join(tmpdir(), 'lh-gate-')))
let root = ''
let count = 0
afterAll(() => rmSync(base, { recursive: true, force: true }))
beforeEach(() => {
  root = join(base, `repo${count++}`)
  execFileSync('git', ['init', '-q', root])
})

const parse = (text: string): Definition => parseDefinition(text, 'k', 'k.yaml')
const fault = (message: RegExp, hint?: RegExp): unknown =>
  expect.objectContaining({
    name: 'Fault',
    code: 'usage',
    message: expect.stringMatching(message),
    ...(hint && { hint: expect.stringMatching(hint) }),
  })
const refuses = (text: string, message: RegExp, hint?: RegExp): void => {
  let thrown: unknown
  try {
    parse(text)
  } catch (error) {
    thrown = error
  }
  expect(thrown, text).toEqual(fault(message, hint))
}
const automatic: Definition = {
  key: 'tests',
  title: null,
  description: null,
  stage: 'post',
  mode: 'auto',
  command: 'npm test',
  timeoutMs: 300_000,
  env: {},
  workingDir: null,
  passContext: null,
  legacy: null,
}
const fileOf = (key: string): string => join(gatesDirectory(root), `${key}.yaml`)
const write = (key: string, text: string): void => {
  mkdirSync(gatesDirectory(root), { recursive: true })
  writeFileSync(fileOf(key), text)
}

describe('the file of a gate', () => {
  it('says everything that a gate is', () => {
    expect(
      parse(
        'title: Unit tests\ndescription: >\n  All\n  of them\nstage: pre\nmode: auto\ncommand: npm test\ntimeout: 90\nenv: { A: 010, B: "", C: yes }\nworking_dir: ./web//app/\npass_context: true\nlegacy: { priority: 100, reserved: {} }\n',
      ),
    ).toEqual({
      key: 'k',
      title: 'Unit tests',
      description: 'All of them\n',
      stage: 'pre',
      mode: 'auto',
      command: 'npm test',
      timeoutMs: 90_000,
      env: { A: '010', B: '', C: 'yes' },
      workingDir: 'web/app',
      passContext: true,
      legacy: { priority: 100, reserved: {} },
    })
  })

  it('may leave out nearly all of it', () => {
    expect(parse('\ufeffcommand: "true"\r\n')).toEqual({ ...automatic, key: 'k', command: 'true' })
    expect(parse('title: T')).toEqual({ ...automatic, key: 'k', title: 'T', mode: 'manual', command: null })
    expect(parse('command: true')).toMatchObject({ command: 'true' })
  })

  it('is refused with file and line for what it may not say', () => {
    refuses('comand: x', /^k\.yaml:1: a gate has no key "comand"/, /did you mean command\?/)
    refuses('mode: manual\n\nzzzzzzzzzz: 1', /^k\.yaml:3: /, /one of: title, /)
    refuses('stage: before', /^k\.yaml:1: stage is pre or post, not "before"/)
    refuses('mode: automatic', /mode is auto or manual/)
    refuses('mode: auto', /^k\.yaml:1: an automatic gate needs a command/)
    refuses('mode: manual\ncommand: x', /^k\.yaml:2: command: a manual gate has no command/)
    // Forgotten, it must not become a gate that a word passes.
    refuses('title: x\ncommand:', /^k\.yaml:2: command has no value/, /mode: manual/)
    refuses('command: ~', /^k\.yaml:1: command has no value/)
    refuses('mode: auto\ncommand:', /an automatic gate needs a command/)
    expect(parseDefinition('mode: manual\ncommand:', 'k', 'k.yaml').mode).toBe('manual')
    refuses('command: [a, b]', /^k\.yaml:1: command takes one value/)
    refuses('command: x\ntimeout: soon', /^k\.yaml:2: timeout: "soon" is no duration/)
    refuses('command: x\ntimeout: 0', /outside 1s to 24h/)
    refuses('command: x\ntimeout: 25h', /outside 1s to 24h/)
    for (const path of ['/etc', '..', '../x', 'a/../../b']) refuses(`command: x\nworking_dir: ${path}`, /is not inside the worktree/)
    refuses('command: x\nenv: [a]', /^k\.yaml:2: env holds/)
    refuses('command: x\nenv: { A: { b: 1 } }', /env: A takes one value/)
    refuses('command: x\nenv: { A: null }', /env: A takes one value/)
    refuses('command: x\nenv: { "A=B": 1 }', /is not the name of a variable/)
    refuses('command: x\nenv: { LEASEHOLD_TOKEN: 1 }', /is set by Leasehold itself/)
    refuses('command: x\npass_context: 1', /pass_context is true or false/)
    refuses('command: x\nlegacy: 1', /legacy holds/)
    refuses('command: x\n---\ncommand: y', /^k\.yaml:2: a second document begins here/)
    refuses('command: x\ncommand: y', /^k\.yaml:2: a key is set a second time/)
    refuses('command: "x', /^k\.yaml:\d+: /)
    refuses('- a', /^k\.yaml:1: a gate is defined by/)
    refuses('', /^k\.yaml:1: /)
    refuses('command: "a\\0b"', /NUL/)
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'.split('').map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefg'[i]}`).join(',')}]`),
    ]
    refuses(`command: x\nlegacy:\n${bomb.map(line => `  ${line}`).join('\n')}`, /alias/i)
  })

  it('is read as it was written, whatever it says', () => {
    const word = fc
      .string({ unit: 'grapheme', maxLength: 40 })
      .filter(text => !text.includes('\0') && !/[\r\u0085\u2028\u2029\ufeff]/.test(text))
    const command = fc
      .oneof(
        word,
        fc.constantFrom(
          'true',
          '010',
          '- a',
          'a: b',
          '# x',
          "it's",
          'a\nb\n',
          ' x ',
          '"q"',
          '*a',
          '&b',
          '!c',
          '%d',
          '@e',
          '`f`',
          '~',
          'null',
          '1e3',
        ),
      )
      .filter(text => text.trim() !== '')
    fc.assert(
      fc.property(
        command,
        word,
        fc.constantFrom('pre' as const, 'post' as const),
        fc.integer({ min: 1000, max: 86_400_000 }),
        (command, title, stage, timeoutMs) => {
          const definition = { ...automatic, command, title, stage, timeoutMs, env: { A: title, B: command } }
          expect(parseDefinition(formatDefinition(definition), 'tests', 'f')).toEqual(definition)
        },
      ),
    )
  })

  it('says its time limit exactly', () => {
    for (const ms of [1000, 1001, 300_000, 5_410_000, 86_400_000, 90_061_000])
      expect(parseTimeout(formatTimeout(Math.min(ms, 86_400_000)), 't')).toBe(Math.min(ms, 86_400_000))
    expect(formatTimeout(300_000)).toBe('5m')
  })
})

describe('a key', () => {
  it('is short and plain', () => {
    for (const key of ['a', '0', 'unit-tests', 'a.b_c', 'x'.repeat(64)]) expect(checkGateKey(key)).toBe(key)
    for (const key of ['', '.', '..', '-a', 'A', 'a/b', 'a b', 'ä', '../x', 'x'.repeat(65)])
      expect(() => checkGateKey(key), key).toThrow(/is not the key of a gate/)
  })
})

describe('defining', () => {
  it('writes a file once, and again only what changed', () => {
    expect(writeDefinition(root, automatic)).toMatchObject({ outcome: 'created', previous: null })
    expect(readFileSync(fileOf('tests'), 'utf8')).toBe('stage: post\nmode: auto\ncommand: npm test\ntimeout: 5m\n')
    expect(writeDefinition(root, automatic).outcome).toBe('unchanged')
    const changed = writeDefinition(root, { ...automatic, command: 'make', stage: 'pre' })
    expect(changed.outcome).toBe('replaced')
    expect(differences(changed.previous!, changed.found.definition)).toEqual([
      { name: 'stage', from: 'post', to: 'pre' },
      { name: 'command', from: 'npm test', to: 'make' },
    ])
  })

  it('keeps what a person wrote around it', () => {
    write('tests', '# ours\ncommand: npm test # all of them\nenv:\n  B: 2\n  A: 1\nstage: post\n')
    expect(writeDefinition(root, { ...automatic, env: { A: '1', B: '2' } }).outcome).toBe('unchanged')
    writeDefinition(root, { ...automatic, command: 'make', env: { A: '1', B: '2' } })
    const text = readFileSync(fileOf('tests'), 'utf8')
    expect(text).toMatch(/^# ours\ncommand: make/)
    expect(text).toContain('  B: 2\n  A: 1\n')
  })

  it('does not write through a link, nor over a broken file', () => {
    const outside = join(base, 'outside')
    mkdirSync(outside, { recursive: true })
    mkdirSync(join(root, '.leasehold'))
    symlinkSync(outside, gatesDirectory(root))
    expect(() => writeDefinition(root, automatic)).toThrow(fault(/is not a directory of its own/))
    rmSync(gatesDirectory(root))
    mkdirSync(gatesDirectory(root))
    symlinkSync(join(outside, 'x.yaml'), fileOf('tests'))
    expect(() => writeDefinition(root, automatic)).toThrow(fault(/may not be a symbolic link/))
    expect(existsSync(join(outside, 'x.yaml'))).toBe(false)
    rmSync(fileOf('tests'))
    write('tests', 'comand: x\n')
    expect(() => writeDefinition(root, automatic)).toThrow(fault(/tests\.yaml:1: /))
    expect(readFileSync(fileOf('tests'), 'utf8')).toBe('comand: x\n')
  })
})

describe('definitions', () => {
  it('are those of this worktree, else of the main one', () => {
    write('here', 'command: main')
    write('both', 'command: main')
    execFileSync('git', ['-C', root, '-c', 'user.name=x', '-c', 'user.email=x@y', 'commit', '-q', '--allow-empty', '-m', 'm'])
    const linked = join(base, `linked${count}`)
    execFileSync('git', ['-C', root, 'worktree', 'add', '-q', linked])
    mkdirSync(gatesDirectory(linked), { recursive: true })
    writeFileSync(join(gatesDirectory(linked), 'both.yaml'), 'command: linked')
    writeFileSync(join(gatesDirectory(linked), 'own.yaml'), 'command: linked')
    writeFileSync(join(gatesDirectory(linked), 'README.md'), 'no gate')
    writeFileSync(join(gatesDirectory(linked), 'Not A Key.yaml'), 'no gate')
    const seen = Definitions.open(findRepository(linked, {}))
    expect(seen.keys()).toEqual(['both', 'here', 'own'])
    expect(seen.keys().map(key => [seen.find(key)?.source, seen.get(key)?.command])).toEqual([
      ['here', 'linked'],
      ['main', 'main'],
      ['here', 'linked'],
    ])
    expect(Definitions.open(findRepository(root, {})).keys()).toEqual(['both', 'here'])
  })

  it('that are not there are not found, with a word that was meant', () => {
    write('tests', 'command: x')
    const seen = Definitions.open(findRepository(root, {}))
    expect(seen.find('other')).toBeNull()
    expect(seen.get('../../x')).toBeNull()
    expect(() => seen.require('test')).toThrow(
      expect.objectContaining({ code: 'not_found', hint: expect.stringMatching(/did you mean tests\?.*lh gate define test/) }),
    )
    expect(() => seen.require('A')).toThrow(fault(/is not the key/))
  })

  it('are read one by one: a broken one does not hide the others', () => {
    write('good', 'command: x')
    write('bad', 'comand: x')
    const seen = Definitions.open(findRepository(root, {}))
    expect(seen.get('good')?.command).toBe('x')
    expect(() => seen.get('bad')).toThrow(fault(/bad\.yaml:1: /))
  })
})
