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
          at: ['1979-05-27T07:32:00.000Z', '1979-05-27T07:32:00.000', '07:32:00.000'],
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
    ['a = 1\nb', 2],
    ['a =', 1],
    ['\na = tru', 2],
    ['a = 01', 1],
    ['a = 1 b = 2', 1],
    ['a = 12345678901234567890', 1],
    ['[a', 1],
    ['[[a]', 1],
    ['a = "x\nb = 1', 1],
    ["a = '''x", 1],
    ['a = { b = 1', 1],
    ['a = 1\na = 2', 2],
    ['[a]\n\n[a]', 3],
    ['a = {}\n[a.b]', 2],
    ['a = "\\q"', 1],
    ['<<<<<<< HEAD\na = 1', 1],
    [`a = ${'['.repeat(300)}`, 1],
    [`${'a.'.repeat(30_000)}b = 1`, 1],
  ])('is none, and says where and why: %j', (text, line) => {
    expect(parseToml(text)).toEqual({ line, why: expect.stringMatching(/^[^\n]{5,}$/) as unknown })
  })
})
