import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { type Agent, parse, repository } from '../support/cli.ts'

// History is what people believe. What could not be read of it must never be left out in silence.

/** Four records in the archive, four in the log. */
async function twoSegments() {
  const repo = repository()
  const a = repo.as('agent:a')
  for (const name of ['one', 'two', 'three', 'four']) await a.acquire(`env:${name}`)
  await a.ok('log compact')
  for (const name of ['one', 'two', 'three', 'four']) await a.ok(`claim release env:${name}`)
  const folder = path.join(repo.store, 'archive')
  const archived = path.join(
    folder,
    fs.readdirSync(folder).find(name => name.endsWith('.jsonl'))!,
  )
  return { repo, a, archived }
}

/** Changes one byte of a text within the line that contains it. */
function damage(file: string, text: string): void {
  const bytes = fs.readFileSync(file)
  const at = bytes.indexOf(text)
  expect(at).toBeGreaterThan(0)
  fs.chmodSync(file, 0o600)
  bytes[at]! ^= 1
  fs.writeFileSync(file, bytes)
}

/** The document, whatever is warned of beside it. */
async function history(agent: Agent) {
  const { code, stdout } = await agent.run('--json claim history')
  expect(code).toBe(0)
  return parse(stdout)
}

const seqs = (operations: readonly { readonly seq: number }[]) => operations.map(({ seq }) => seq)

it('says nothing of a whole log in two segments', async () => {
  const { a } = await twoSegments()
  const { operations, warnings } = await a.ok('claim history')
  expect([seqs(operations), warnings]).toEqual([[1, 2, 3, 4, 5, 6, 7, 8], []])
})

it('names the line that was left out, in each way of asking', async () => {
  const { a, archived } = await twoSegments()
  damage(archived, '"env:two"')
  const { operations, warnings } = await history(a)
  expect(seqs(operations)).toEqual([1, 3, 4, 5, 6, 7, 8])
  expect(warnings).toEqual([expect.stringMatching(/^left out, see lh verify: .*\.jsonl:3: /)])
  const text = await a.run('claim history')
  expect([text.code, text.stderr]).toEqual([0, expect.stringMatching(/^lh: warning: left out, see lh verify: .*\.jsonl:3: .*\n$/)])
  const exported = await a.run('log export')
  expect(exported.stdout.trimEnd().split('\n')).toHaveLength(7)
  expect(exported.stderr).toContain('left out')
})

it('says that records are missing when a segment is', async () => {
  const { a, archived } = await twoSegments()
  await a.ok('log compact')
  const [, second] = fs.readdirSync(path.dirname(archived)).filter(name => name.endsWith('.jsonl'))
  fs.rmSync(path.join(path.dirname(archived), second!))
  await a.acquire('env:five')
  const { operations, warnings } = await history(a)
  expect([seqs(operations), warnings]).toEqual([[1, 2, 3, 4, 9], ['left out, see lh verify: the records between 4 and 9 are missing']])
})

it('names only the first of many places', async () => {
  const { a, archived } = await twoSegments()
  fs.chmodSync(archived, 0o600)
  const [head, ...rest] = fs.readFileSync(archived, 'utf8').trimEnd().split('\n')
  fs.writeFileSync(archived, `${[head, ...rest, ...rest].map((line, at) => (at === 0 ? line : `${line}x`)).join('\n')}\n`)
  const { warnings } = await history(a)
  expect([warnings.length, warnings.at(-1)]).toEqual([6, 'and 3 more places'])
})
