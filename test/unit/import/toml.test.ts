import { describe, expect, it } from 'vitest'
import { parseToml } from '../../../src/service/ticket/import/toml.ts'

const read = (text: string): unknown => JSON.parse(JSON.stringify(parseToml(text))) as unknown

describe('TOML', () => {
  it('is read: tables, lists of tables, and every kind of value', () => {
    const text = String.raw`
# Comment
a = 1 # another
"b c".d = 'literal \n'
[[gates]]
key = "x.\"y\u00e9"   # not # here
lines = """
one \
   two
"three"""""
raw = '''
a
b'''
list = [ 1, # one
  "two", [3.5, 0x1F, -1_000, 1e3],
]
inline = { a = 1, "b c" = [true, false], d.e = 2 }
at = [1979-05-27T07:32:00Z, 1979-05-27 07:32:00, 07:32:00]
[gates.checker]
type = 'exec'
[gates.checker.env]
A = "b"
[gates.reserved]
[[gates]]
key = "z"
[gates.checker.env]
`
    const value = {
      a: 1,
      'b c': { d: 'literal \\n' },
      gates: [
        {
          key: 'x."yé',
          lines: 'one two\n"three""',
          raw: 'a\nb',
          list: [1, 'two', [3.5, 31, -1000, 1000]],
          inline: { a: 1, 'b c': [true, false], d: { e: 2 } },
          at: ['1979-05-27T07:32:00Z', '1979-05-27 07:32:00', '07:32:00'],
          checker: { type: 'exec', env: { A: 'b' } },
          reserved: {},
        },
        { key: 'z', checker: { env: {} } },
      ],
    }
    expect(read(text)).toEqual({ value })
    expect(read(text.replaceAll('\n', '\r\n'))).toEqual({ value })
    expect(read('')).toEqual({ value: {} })
  })

  it('has no key that means something else here', () => {
    const parsed = parseToml('__proto__ = { a = 1 }\nconstructor = 2')
    expect('value' in parsed && Object.keys(parsed.value as object)).toEqual(['__proto__', 'constructor'])
    expect(({} as Record<string, unknown>)['a']).toBeUndefined()
  })

  it.each([
    ['a = 1\nb', 2, 'a key has no = behind it'],
    ['a =', 1, 'a value is missing, or is none'],
    ['\na = tru', 2, 'a value is missing, or is none'],
    ['a = 01', 1, 'a value is missing, or is none'],
    ['a = 1 b = 2', 1, 'the line goes on where it should end'],
    ['[a', 1, 'a header does not end with ]'],
    ['[[a]', 1, 'a header does not end with ]]'],
    ['a = "x\nb = 1', 1, 'a text has no closing quote'],
    ["a = '''x", 1, 'a text of several lines has no closing quotes'],
    ['a = [1\nb = 2', 2, 'a list does not end'],
    ['a = { b = 1', 1, 'a table between braces does not end'],
    ['a = 1\na = 2', 2, 'a is set a second time'],
    ['[a]\n\n[a]', 3, 'a is set a second time'],
    ['a = {}\n[a.b]', 2, 'a is set a second time'],
    ['a = [{ b = 1 }]\n[[a]]', 2, 'a is set a second time'],
    ['a = "\\q"', 1, '\\q stands for nothing'],
    ['<<<<<<< HEAD\na = 1', 1, 'a key is missing'],
    [`a = ${'['.repeat(300)}`, 1, 'it is nested deeper than 100 levels'],
    [`${'a.'.repeat(300)}b = 1`, 1, 'it is nested deeper than 100 levels'],
  ])('is none: %j', (text, line, why) => {
    expect(parseToml(text)).toEqual({ line, why })
  })
})
