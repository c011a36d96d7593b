import { describe, expect, it } from 'vitest'
import { triosIn, trioLines, withTrio, type Trio } from '../../../src/service/enforce/trailers.ts'

const leaseId = '01M7YW8NB7000000F2EV1M0MSE'
const trio: Trio = { ticket: 'fix', leaseId, token: 7 }
const block = trioLines(trio).join('\n')
const older = trioLines({ ...trio, leaseId: '01M7YW8NB7000000F2EV1M0MSA', token: 3 }).join('\n')
const other = trioLines({ ticket: 'other', leaseId: '01M7YW8NB7000000F2EV1M0MSB', token: 5 }).join('\n')

describe('a trio in a message', () => {
  it.each([
    ['at its end', `subject\n\n${block}\n`, [7]],
    [
      'in the middle, among other trailers and in another order',
      `s\n\nLeasehold-Token: 7\nSigned-off-by: a\nLeasehold-Lease: ${leaseId}\nLeasehold-Ticket: Fix\n\nmore`,
      [7],
    ],
    ['twice, as a squash leaves them', `s\n\n${older}\n\n# second\n\n${block}\n`, [3, 7]],
    ['indented, as merge --squash quotes them', `Squashed commit\n\n    ${block.replaceAll('\n', '\n    ')}\n`, [7]],
    ['with Windows line ends', `s\r\n\r\n${block.replaceAll('\n', '\r\n')}\r\n`, [7]],
    ['not when a line is missing', `s\n\nLeasehold-Ticket: fix\nLeasehold-Token: 7\n`, []],
    ['not when it is malformed', `s\n\nLeasehold-Ticket: fix\nLeasehold-Lease: x\nLeasehold-Token: 0\n`, []],
    [
      'not across an incomplete one',
      `s\n\nLeasehold-Ticket: a\nLeasehold-Ticket: fix\nLeasehold-Lease: ${leaseId}\nLeasehold-Token: 7`,
      [7],
    ],
  ])('is found %s', (_, message, tokens) => {
    expect(triosIn(message).map(({ token }) => token)).toEqual(tokens)
    for (const found of triosIn(message)) expect(found.ticket).toBe('fix')
  })
})

describe('withTrio', () => {
  const plain = { comment: null }
  const edited = { comment: '#' }

  it.each([
    ['a subject', 'subject\n', `subject\n\n${block}\n`],
    ['no newline at the end', 'subject', `subject\n\n${block}\n`],
    ['a subject that looks like a trailer', 'fix: it\n', `fix: it\n\n${block}\n`],
    ['a body', 's\n\nbody\n\n\n', `s\n\nbody\n\n${block}\n`],
    ['trailers', 's\n\nSigned-off-by: a\n', `s\n\nSigned-off-by: a\n${block}\n`],
    ['trailers of another ticket', `s\n\n${other}\n`, `s\n\n${other}\n${block}\n`],
    ['an older trio of the ticket', `s\n\n${older}\nSigned-off-by: a\n`, `s\n\nSigned-off-by: a\n${block}\n`],
    ['several older ones', `s\n\n${older}\n\nsecond\n\n${older}\n`, `s\n\n\nsecond\n\n${block}\n`],
    [
      'a quoted one, which stays',
      `s\n\n    ${older.replaceAll('\n', '\n    ')}\n`,
      `s\n\n    ${older.replaceAll('\n', '\n    ')}\n${block}\n`,
    ],
    ['lines that begin as comments do, where no editor was', 's\n\n#12 is fixed\n', `s\n\n#12 is fixed\n\n${block}\n`],
    ['Windows line ends', 's\r\n\r\nbody\r\n', `s\r\n\r\nbody\r\n\r\n${block.replaceAll('\n', '\r\n')}\r\n`],
  ])('adds to %s', (_, before, after) => {
    expect(withTrio(before, trio, plain)).toBe(after)
    expect(withTrio(after, trio, plain)).toBe(after)
  })

  it.each([
    ['an empty message', '\n# Please enter\n', `\n\n${block}\n\n# Please enter\n`],
    ['a written one', 's\n\n# Please enter\n# more\n', `s\n\n${block}\n\n# Please enter\n# more\n`],
    [
      'scissors and a diff',
      's\n\n# ------------------------ >8 ------------------------\n# Do not\ndiff --git a/x b/x\n+y\n',
      `s\n\n${block}\n\n# ------------------------ >8 ------------------------\n# Do not\ndiff --git a/x b/x\n+y\n`,
    ],
    ['comments in the middle, which are nobody’s end', 's\n\n# a\nbody\n# b\n', `s\n\n# a\nbody\n\n${block}\n\n# b\n`],
  ])('keeps what an editor shows: %s', (_, before, after) => {
    expect(withTrio(before, trio, edited)).toBe(after)
    expect(withTrio(after, trio, edited)).toBe(after)
  })

  it('only replaces, when others’ commits pass through', () => {
    expect(withTrio('s\n', trio, { ...plain, replaceOnly: true })).toBe('s\n')
    expect(withTrio(`s\n\n${older}\n`, trio, { ...plain, replaceOnly: true })).toBe(`s\n\n${block}\n`)
  })
})
