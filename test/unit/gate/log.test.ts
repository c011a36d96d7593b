import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Repository } from '../../../src/host/git.ts'
import { keepOutput, logFile, plainText, tailOf } from '../../../src/service/gate/log.ts'
import type { CommandEnd } from '../../../src/service/gate/run.ts'

const base = mkdtempSync(join(tmpdir(), 'lh-gate-log-'))
afterAll(() => rmSync(base, { recursive: true, force: true }))

const repository = { gitDir: base, shared: false } as Repository
const said = (text: string, dropped = 0): CommandEnd => ({ output: Buffer.from(text), dropped }) as CommandEnd

describe('the output of a gate', () => {
  it('is kept for its owner, the newest in the place of the one before', () => {
    expect(keepOutput(repository, 't1', 'tests', said('one'))).toBeNull()
    expect(keepOutput(repository, 't1', 'tests', said('two', 5))).toBeNull()
    const file = logFile(repository, 't1', 'tests')
    expect(file).toBe(join(base, 'leasehold', 'gates', 't1', 'tests.log'))
    expect(readFileSync(file, 'utf8')).toBe('[5 bytes before this were not kept]\ntwo')
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('that cannot be kept is a warning', () => {
    const other = join(base, 'other')
    mkdirSync(join(other, 'leasehold'), { recursive: true })
    symlinkSync(base, join(other, 'leasehold', 'gates'))
    expect(keepOutput({ ...repository, gitDir: other }, 't1', 'tests', said('x'))).toMatch(/could not be kept in .*symbolic link/)
    expect(existsSync(join(base, 't1'))).toBe(false)
  })

  it('loses the colours of a terminal, and keeps its words', () => {
    expect(plainText(Buffer.from('\u001b[31mred\u001b[0m\r\nnext\tcolumn'))).toBe('red\nnext\tcolumn')
  })

  it('goes into an event with its end, in whole lines and whole signs', () => {
    expect(tailOf(Buffer.from('short'))).toBe('short')
    const lines = Array.from({ length: 2000 }, (_, at) => `line ${at}`).join('\n')
    const tail = tailOf(Buffer.from(`${lines}\n`))
    expect(Buffer.byteLength(tail)).toBeLessThanOrEqual(4096)
    expect(tail).toMatch(/^line \d+\n[^]*\nline 1999\n$/)
    for (const extra of ['', 'a', 'ab']) {
      const wide = tailOf(Buffer.from(`${extra}${'語'.repeat(3000)}`))
      expect(wide).toMatch(/^語+$/)
      expect(wide.length).toBeGreaterThan(1360)
    }
    expect(tailOf(Buffer.from([0xff, 0x61]))).toBe('\ufffda')
  })
})
