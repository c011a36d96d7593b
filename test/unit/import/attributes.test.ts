import fs from 'node:fs'
import path from 'node:path'
import { beforeEach, describe, expect, inject, it } from 'vitest'
import { ensureAttributes, unionLine } from '../../../src/service/ticket/attributes.ts'

let root: string
let file: string
beforeEach(() => {
  root = fs.mkdtempSync(path.join(inject('runFolder'), 'attributes-'))
  file = path.join(root, '.gitattributes')
})

describe('the line for events in .gitattributes', () => {
  it('is written once', () => {
    expect(ensureAttributes(root)).toBe(true)
    expect(fs.readFileSync(file, 'utf8')).toBe(`${unionLine}\n`)
    expect(ensureAttributes(root)).toBe(false)
  })

  it.each([
    ['*.png binary\n', `*.png binary\n${unionLine}\n`],
    ['*.png binary', `*.png binary\n${unionLine}\n`],
    ['# a\r\n*.png binary\r\n', `# a\r\n*.png binary\r\n${unionLine}\r\n`],
    ['*.png binary\r\nx', `*.png binary\r\nx\r\n${unionLine}\r\n`],
    [`# ${unionLine}\n`, `# ${unionLine}\n${unionLine}\n`],
    [`${unionLine}\n.leasehold/tickets/*/events.jsonl -merge\n`, `${unionLine}\n.leasehold/tickets/*/events.jsonl -merge\n${unionLine}\n`],
    ['\xff\xfe x\n', `\xff\xfe x\n${unionLine}\n`],
  ])('is added to %j, and the rest stays', (before, after) => {
    fs.writeFileSync(file, before, 'latin1')
    fs.chmodSync(file, 0o600)
    expect(ensureAttributes(root)).toBe(true)
    expect(fs.readFileSync(file, 'latin1')).toBe(after)
    expect(fs.statSync(file).mode & 0o777).toBe(0o600)
  })

  it.each([`  ${unionLine}  \n`, `/.leasehold/tickets/*/events.jsonl\ttext merge=union\n`, `${unionLine}\n*.x text\n`])(
    'is known in %j',
    before => {
      fs.writeFileSync(file, before)
      expect(ensureAttributes(root)).toBe(false)
      expect(fs.readFileSync(file, 'utf8')).toBe(before)
    },
  )

  it('is not written through a symbolic link', () => {
    fs.writeFileSync(path.join(root, 'other'), '')
    fs.symlinkSync('other', file)
    expect(() => ensureAttributes(root)).toThrow(
      expect.objectContaining({ code: 'unavailable', message: expect.stringContaining('symbolic link') as unknown }),
    )
    expect(fs.readFileSync(path.join(root, 'other'), 'utf8')).toBe('')
  })
})
