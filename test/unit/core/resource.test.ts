import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isFault } from '../../../src/core/fault.ts'
import type { ResourceContext } from '../../../src/core/resource.ts'
import { isPath, kindOf, maxKeyBytes, nameOf, parseResource, pathsOverlap } from '../../../src/core/resource.ts'

const context: ResourceContext = { root: '/repo', ignoreCase: false }
const folding = { ...context, ignoreCase: true }
const parse = (text: string): string => parseResource(text, context)

/** The message of the refusal; anything but a `usage` fault fails the test. */
function refused(text: string, where: ResourceContext = context): string {
  try {
    parseResource(text, where)
  } catch (error) {
    if (!isFault(error)) throw error
    expect(error.code).toBe('usage')
    // oxlint-disable-next-line no-control-regex -- the point: a hostile name must not reach the terminal
    expect(error.message).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
    return error.message
  }
  throw new Error(`${JSON.stringify(text)} was not refused`)
}

describe('the canonical key', () => {
  it.each([
    ['fix-login', 'ticket:fix-login'],
    ['TICKET:Fix-Login', 'ticket:fix-login'],
    ['ticket:Fix-Login', 'ticket:fix-login'],
    ['Env:Staging', 'env:Staging'],
    ['env:https://example.org/a?b=c', 'env:https://example.org/a?b=c'],
    ['env:a b', 'env:a b'],
    ['branch:Main', 'branch:Main'],
    ['branch:refs/heads/Main', 'branch:Main'],
    ['branch:refs/heads/refs/heads/x', 'branch:x'],
    ['branch:refs/tags/x', 'branch:refs/tags/x'],
    ['worktree:1a2b3c4d', 'worktree:1a2b3c4d'],
    ['worktree:wt:1A2B3C4D', 'worktree:1a2b3c4d'],
    ['wt:1a2b3c4d', 'worktree:1a2b3c4d'],
    ['worktree:W1', 'worktree:W1'],
    ['wt:other', 'wt:other'],
    ['port:🚀', 'port:🚀'],
    ['port:👩‍🚀', 'port:👩‍🚀'],
    ['env:%2e%2E', 'env:%2e%2E'],
    ['env:../../etc/passwd', 'env:../../etc/passwd'],
    ['env:__proto__', 'env:__proto__'],
    ['constructor:x', 'constructor:x'],
  ])('of %j is %j', (text, key) => {
    expect(parse(text)).toBe(key)
    expect(parse(key)).toBe(key)
    expect(`${kindOf(key)}:${nameOf(key)}`).toBe(key)
  })

  it('is the same for case twins of a ticket, and not for those of anything else', () => {
    expect(parse('ticket:ABC-1')).toBe(parse('abc-1'))
    expect(parse('env:ABC')).not.toBe(parse('env:abc'))
    expect(parse('branch:Main')).not.toBe(parse('branch:main'))
    expect(parseResource('branch:Main', folding)).toBe(parseResource('branch:main', folding))
    expect(parseResource('branch:Refs/Heads/Main', folding)).toBe(parseResource('branch:main', folding))
    expect(refused('branch:refs/heads/')).toContain('has no name')
    expect(refused('branch:refs/heads/ x')).toContain('blank')
    expect(parseResource('path:Src/**', folding)).toBe(parseResource('path:src/**', folding))
  })

  it('is the same for both Unicode forms of a name', () => {
    expect(parse('env:cafe\u0301')).toBe(parse('env:caf\u00e9'))
    expect(parse('path:cafe\u0301/x')).toBe(parse('path:caf\u00e9/x'))
  })

  it('takes percent signs for what they are: nothing is decoded', () => {
    expect(parse('env:%2e')).not.toBe(parse('env:.'))
    expect(parse('path:%2e%2e/x')).toBe('path:%2e%2e/x')
  })

  it.each([
    ['ticket:../../etc', 'is not a ticket id'],
    ['../x', 'is not a ticket id'],
    ['ticket:.hidden', 'is not a ticket id'],
    ['ticket:%2e%2e', 'is not a ticket id'],
    [`ticket:${'a'.repeat(129)}`, 'is not a ticket id'],
    ['ticket:caf\u00e9', 'is not a ticket id'],
    ['', 'has no name'],
    ['env:', 'has no name'],
    [':x', 'is not a resource'],
    ['1env:x', 'is not a resource'],
    ['en v:x', 'is not a resource'],
    ['\u0000:x', 'is not a resource'],
    ['../a:x', 'is not a resource'],
    [`${'k'.repeat(33)}:x`, 'is not a resource'],
    ['workspace:abc', 'session lock'],
    ['env: a', 'blank'],
    ['env:a ', 'blank'],
    ['env:\u00a0a', 'blank'],
    ['env:a\u0000b', 'U+0000'],
    ['env:a\nb', 'U+000A'],
    ['env:a\rb', 'U+000D'],
    ['env:a\u001b[31mb', 'U+001B'],
    ['env:a\u007fb', 'U+007F'],
    ['env:a\u0085b', 'U+0085'],
    ['env:a\u2028b', 'U+2028'],
    ['env:a\u202eb', 'U+202E'],
    ['env:a\u2066b', 'U+2066'],
    ['env:a\u200eb', 'U+200E'],
    ['env:a\ufeffb', 'U+FEFF'],
    ['env:a\ufffdb', 'U+FFFD'],
    ['env:a\ud800b', 'U+D800'],
    ['path:src/a\nb', 'U+000A'],
    [`env:${'x'.repeat(300)}`, 'too long'],
    [`env:${'é'.repeat(127)}`, 'too long'],
  ])('%j is refused: %s', (text, reason) => expect(refused(text)).toContain(reason))

  it('counts bytes, not letters', () => {
    expect(parse(`env:${'x'.repeat(maxKeyBytes - 4)}`)).toHaveLength(maxKeyBytes)
    expect(refused(`env:${'x'.repeat(maxKeyBytes - 3)}`)).toContain(`${maxKeyBytes + 1} bytes`)
    expect(Buffer.byteLength(parse(`env:${'🚀'.repeat(63)}`))).toBe(maxKeyBytes)
    refused(`env:${'🚀'.repeat(64)}`)
  })

  it('of any text is refused, or bounded, printable and its own canonical key', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.string({ unit: 'grapheme', maxLength: 40 }),
      fc
        .tuple(
          fc.constantFrom('path:', 'branch:', 'branch:refs/heads/', 'worktree:', 'worktree:wt:', 'wt:', 'env:', 'ticket:'),
          fc.string({ unit: 'grapheme', maxLength: 30 }),
        )
        .map(parts => parts.join('')),
      fc
        .array(fc.constantFrom('path:', '/', '.', '..', '*', '**', '?', 'a', 'B', '\u030c', 'J', 'İ', 'ﬁ', ' '), { maxLength: 12 })
        .map(parts => parts.join('')),
    )
    fc.assert(
      fc.property(text, fc.boolean(), (spelling, ignoreCase) => {
        const where = { ...context, ignoreCase }
        let key: string
        try {
          key = parseResource(spelling, where)
        } catch (error) {
          expect(isFault(error)).toBe(true)
          return
        }
        expect(parseResource(key, where)).toBe(key)
        expect(key).toBe(key.normalize('NFC'))
        expect(Buffer.byteLength(key)).toBeLessThanOrEqual(maxKeyBytes)
        expect(Buffer.from(key).toString()).toBe(key)
      }),
      { numRuns: 3000 },
    )
  })

  it('of a letter whose small form is another code point is stable', () => {
    const twin = parseResource('branch:J\u030c', folding)
    expect(twin).toBe(parseResource('branch:\u01f0', folding))
    expect(parseResource(twin, folding)).toBe(twin)
  })
})

describe('a path', () => {
  it.each([
    ['src', 'src'],
    ['./src', 'src'],
    ['src//a', 'src/a'],
    ['src/./a', 'src/a'],
    ['src/b/../a', 'src/a'],
    ['src/', 'src/**'],
    ['src/.', 'src/**'],
    ['.', '**'],
    ['./', '**'],
    ['a/..', '**'],
    ['/repo', '**'],
    ['/repo/', '**'],
    ['/repo/src/a', 'src/a'],
    ['/repo/src/../a', 'a'],
    ['**/**/x', '**/x'],
    ['src/**/', 'src/**'],
    ['src/**/../**', 'src/**'],
    ['...', '...'],
    ['a b/c', 'a b/c'],
    ['~/x', '~/x'],
  ])('%s means %s', (spelling, name) => expect(parse(`path:${spelling}`)).toBe(`path:${name}`))

  it.each([
    ['..', 'leaves the repository'],
    ['../x', 'leaves the repository'],
    ['a/../../x', 'leaves the repository'],
    ['/repo/../x', 'leaves the repository'],
    ['/etc/passwd', 'outside the repository'],
    ['/repository/x', 'outside the repository'],
    ['/', 'outside the repository'],
    ['a{b,c}', 'no braces'],
    ['[ab]', 'no braces'],
    ['!a', 'no braces'],
    ['a\\b', 'no braces'],
    ['./ a', 'begins or ends with a blank'],
    ['b/../ a', 'begins or ends with a blank'],
    ['/repo/ a', 'begins or ends with a blank'],
    ['a /x/..', 'begins or ends with a blank'],
    ['a**', '** stands alone'],
    ['a/***', '** stands alone'],
    [`${'a/'.repeat(33)}b`, 'more than 32 segments'],
  ])('%s is refused: %s', (spelling, reason) => expect(refused(`path:${spelling}`)).toContain(reason))

  it('may be absolute only where there is a top to measure from', () => {
    expect(refused('path:/repo/x', { root: null, ignoreCase: false })).toContain('outside')
    expect(parseResource('path:/x', { root: '/', ignoreCase: false })).toBe('path:x')
    expect(parseResource('path:/repo/x', { root: '/repo//', ignoreCase: false })).toBe('path:x')
    // A directory's name is bytes to Git; a spelling is NFC before it is compared.
    for (const root of ['/caf\u00e9', '/cafe\u0301'])
      expect(parseResource('path:/cafe\u0301/x', { root, ignoreCase: false })).toBe('path:x')
  })

  it('never leaves the repository, whatever its segments', () => {
    const segments = fc.array(fc.constantFrom('', '.', '..', 'a', 'b', '**', '*'), { maxLength: 12 })
    fc.assert(
      fc.property(segments, parts => {
        try {
          expect(`/${nameOf(parse(`path:${parts.join('/')}`))}/`).not.toMatch(/\/\.{0,2}\//)
        } catch (error) {
          if (!isFault(error)) throw error
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('the overlap of paths', () => {
  it.each([
    ['src/**', 'src/x', true],
    ['src/**', 'src', true],
    ['src', 'src/a/b', true],
    ['src/a', 'src/b', false],
    ['src/*', 'src/a', true],
    ['src/*', 'src/a/b', false],
    ['**/x', 'src/**', true],
    ['*.ts', 'a.js', false],
    ['*.ts', 'a.*', true],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['?', '🚀', true],
    ['**', 'x', true],
  ])('%s and %s: %s', (a, b, overlaps) => {
    expect(pathsOverlap(`path:${a}`, `path:${b}`)).toBe(overlaps)
  })

  it('is what trying every path finds', () => {
    const segment = fc.constantFrom('a', 'b', 'ab', '*', '?', 'a*', '*b', '?b', '**', '**')
    const pattern = fc.array(segment, { minLength: 1, maxLength: 3 }).map(segments => nameOf(parse(`path:${segments.join('/')}`)))
    fc.assert(
      fc.property(pattern, pattern, (a, b) => {
        const found = oracle(a, b)
        if (pathsOverlap(`path:${a}`, `path:${b}`) !== found) throw new Error(`${a} and ${b}: some path matches both is ${found}`)
        if (pathsOverlap(`path:${b}`, `path:${a}`) !== found) throw new Error(`${b} and ${a} differs from ${a} and ${b}`)
      }),
      { numRuns: 4000 },
    )
  })

  it('is every path with itself', () => {
    for (const name of ['a', 'a/b', '*', '**', 'a?', '**/a/**']) expect(pathsOverlap(`path:${name}`, `path:${name}`)).toBe(true)
  })

  it('does not take exponential time', () => {
    const stars = `path:${Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? '**' : '*a*a*a*')).join('/')}`
    const other = `path:${Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? '**' : '*b*b*b*')).join('/')}`
    // Nobody would see the end of that.
    for (let i = 0; i < 20; i++) pathsOverlap(stars, other)
  })
})

it('knows a path by its kind', () => {
  expect(isPath(parse('path:a'))).toBe(true)
  expect(isPath(parse('env:path:a'))).toBe(false)
})

// ── the oracle: all paths of up to seven short names over two letters, matched by the definition of the wildcards ──

const names = ['a', 'b', 'ab', 'bb', 'ba']
const paths: string[][] = []
for (let layer: string[][] = [[]], depth = 0; depth < 5; depth++) {
  layer = layer.flatMap(path => (depth > 2 ? names.slice(0, 3) : names).map(name => [...path, name]))
  paths.push(...layer)
}

const matchers = new Map<string, (path: string) => boolean>()

function matcher(pattern: string): (path: string) => boolean {
  const segments = pattern.split('/')
  // The documented rule: a literal last segment also stands for everything below it.
  if (!/[*?]/.test(segments.at(-1)!)) segments.push('**')
  const one = (segment: string): string =>
    segment === '**'
      ? '(?:/[^/]+)*'
      : `/${segment.replaceAll(/[*?]|[^*?]+/g, part => (part === '*' ? '[^/]*' : part === '?' ? '[^/]' : part))}`
  const expression = new RegExp(`^${segments.map(one).join('')}$`, 'u')
  return path => expression.test(path)
}

const texts = paths.map(path => `/${path.join('/')}`)

function oracle(a: string, b: string): boolean {
  for (const pattern of [a, b]) if (!matchers.has(pattern)) matchers.set(pattern, matcher(pattern))
  return texts.some(text => matchers.get(a)!(text) && matchers.get(b)!(text))
}
