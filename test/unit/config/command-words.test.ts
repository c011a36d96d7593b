import { describe, expect, it } from 'vitest'
import { commandWords } from '../../../src/service/config/command-words.ts'

const read = (text: string): readonly string[] => commandWords(text, 'here')

describe('a command in the configuration', () => {
  it.each([
    ['claude', ['claude']],
    ['  claude   --model  opus ', ['claude', '--model', 'opus']],
    [`sh -c 'exit 3'`, ['sh', '-c', 'exit 3']],
    [`say "two \\"words\\"" it's one'`, ['say', 'two "words"', 'its one']],
    [`a\\ b "" c`, ['a b', '', 'c']],
    ['[ "claude", "-p", "two words" ]', ['claude', '-p', 'two words']],
    ['echo $HOME *.ts | cat', ['echo', '$HOME', '*.ts', '|', 'cat']],
  ])('%s', (text, words) => {
    expect(read(text)).toEqual(words)
  })

  it.each(['', '   ', '[]', '""', '[""]', '[1]', '["a"', `a 'b`, `a "b`, `'a'b"c`, 'a\\'])('refuses %j', text => {
    expect(() => read(text)).toThrow(/^here: /)
  })
})
