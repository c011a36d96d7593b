import { execFileSync } from 'node:child_process'
import { expect, it } from 'vitest'
import { shellWord } from '../../../src/core/shell-word.ts'

it('gives words that a shell takes for what they are', () => {
  const words = [
    'plain',
    'a b',
    "it's",
    '',
    '$HOME',
    '`id`',
    '*',
    '~',
    'a\\b',
    '"q"',
    'x;y&z|(w)',
    'path:src/**/*.ts',
    'two\nlines',
    '#no',
    'é',
  ]
  const said = execFileSync('/bin/sh', ['-c', `printf '%s\\0' ${words.map(shellWord).join(' ')}`], { encoding: 'utf8' })
  expect(said.split('\0').slice(0, -1)).toEqual(words)
})

it('leaves plain words as they are', () => {
  for (const word of ['ticket:fix-login', '/srv/app-worktrees/x', 'file:///srv/leases', 'agents/fix_login', 'env:mix@2,5%', '--lease=01J'])
    expect(shellWord(word)).toBe(word)
})
