import { describe, expect, it } from 'vitest'
import { globalOptions, parseCommandLine } from '../../../src/door/cli/parse.ts'
import { everyCommand } from '../../../src/door/cli/table.ts'

const table = await everyCommand()

describe('an option with an empty value', () => {
  it.each(table)('of lh $path is refused, never ignored', ({ path, options }) => {
    for (const { name, value, optional } of [...options, ...globalOptions])
      for (const words of [[`--${name}=`], [`--${name}`, ''], [`--${name}`, ' \t'], [`--${name}`, '', '--', '-x']])
        if (value !== undefined && optional !== true)
          expect(() => parseCommandLine([...path.split(' '), ...words], table), words.join(' ')).toThrow(`--${name} is empty`)
  })

  it('is none where the value may be left out', () => {
    expect(parseCommandLine(['claim', 'acquire', 'x', '--wait'], table).options).toEqual({ wait: '' })
    expect(() => parseCommandLine(['claim', 'acquire', 'x', '--wait='], table)).toThrow('--wait= has no value')
  })
})
