import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { idTime, mintId, slugInId, slugOf } from '../../../src/service/ticket/identify.ts'
import { idPattern } from '../../../src/service/ticket/ticket.ts'

describe('slugOf', () => {
  it.each([
    ['Fix the login', 'fix-the-login'],
    ['  --Fix:  `login`!! ', 'fix-login'],
    ['Über Café Ångström', 'uber-cafe-angstrom'],
    ['プロンプト: memory / knowledge tool', 'memory-knowledge-tool'],
    ['日本語だけ', 'ticket'],
    ['', 'ticket'],
    ['😀', 'ticket'],
    ['ﬁle № 5', 'file-no-5'],
    ['one two three four five six seven eight nine ten eleven twelve thirteen', 'one-two-three-four-five-six-seven-eight-nine-ten-eleven'],
    ['x'.repeat(100), 'x'.repeat(60)],
  ])('%j becomes %s', (title, slug) => expect(slugOf(title)).toBe(slug))

  it('is a part of an id, whatever the title', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), title => {
        const slug = slugOf(title)
        expect(slug).toMatch(/^[a-z0-9]+(?:-[a-z0-9]+)*$/)
        expect(slug.length).toBeLessThanOrEqual(60)
        expect(slugOf(slug)).toBe(slug)
      }),
    )
  })
})

describe('mintId', () => {
  const now = Date.UTC(2026, 11, 31, 23, 59, 58, 750)

  it('is the time in UTC and the slug', () => {
    expect(mintId('fix-login', now, () => false)).toBe('20261231-235958-fix-login')
    expect(mintId('x'.repeat(60), now, () => false)).toMatch(idPattern)
  })

  it('takes the next second that is free', () => {
    const taken = new Set(['20261231-235958-x', '20261231-235959-x'])
    expect(mintId('x', now, id => taken.has(id))).toBe('20270101-000000-x')
  })
})

describe('idTime', () => {
  it('is what the id begins with', () => {
    expect(idTime('20261231-235958-fix-login')).toBe('2026-12-31T23:59:58Z')
    expect(idTime('20261231-235958')).toBe('2026-12-31T23:59:58Z')
  })

  it.each(['fix-login', '2026-12-31', '20261331-000000-x', '20260231-000000-x', '20261231-240000-x', '20261231-2359589-x'])(
    'is null for %s',
    id => expect(idTime(id)).toBeNull(),
  )
})

describe('slugInId', () => {
  it('is what the id says beside its time', () => {
    expect(slugInId('20261231-235958-fix-login')).toBe('fix-login')
    expect(slugInId('jit-1234')).toBe('jit-1234')
    expect(slugInId('20261231-235958')).toBe('20261231-235958')
  })
})
