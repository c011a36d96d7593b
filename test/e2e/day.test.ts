import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Doc, executable, folder, git, parse } from '../support/cli.ts'
import { lhIn } from '../support/shell.ts'

// docs/day.md is run as it stands: the blocks that are marked `run`, in their order, in one shell. What follows such a block as `text` is
// what it printed. To write what it prints now into the document: LEASEHOLD_TEST_WRITE_DAY=1.

const file = path.join(import.meta.dirname, '../../docs/day.md')
const document = fs.readFileSync(file, 'utf8')

/** A block of commands, and the output that the document shows for it. */
interface Step {
  readonly commands: string
  readonly shown: string
}

const step = /^```sh run\n([^]*?)^```\n(?:\n```text\n([^]*?)^```\n)?/gm

const steps: readonly Step[] = [...document.matchAll(step)].map(([, commands = '', shown = '']) => ({ commands, shown }))

/** What differs from run to run, and what another version of Git words in another way. */
const settled = (text: string): string =>
  text
    .replaceAll(/\b\d{8}-\d{6}-(?=[a-z])/g, '<time>-')
    .replaceAll(/\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?/g, '<time>')
    .replaceAll(/\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b/g, '<ulid>')
    .replaceAll(/\bwt:[0-9a-f]{8}\b/g, '<worktree>')
    .replaceAll(/\b\d+(?:\.\d+)? ?(?:ms|s|min|m)\b/g, '<while>')
    .replaceAll(/(?:\/[\w.-]+)+\/project\b/g, '…/project')
    .replaceAll(/^Auto-merging .*\n/gm, '')

const mark = '=== a block ends here ==='

let outputs: readonly string[]
let day: string

beforeAll(() => {
  day = folder('day-')
  const bin = path.join(day, 'bin')
  lhIn(bin)
  const start = path.join(day, 'start')
  fs.mkdirSync(start)
  const script = steps.map(({ commands }) => `${commands}echo '${mark}'\n`).join('')
  const { status, stdout } = spawnSync('bash', ['-euo', 'pipefail', '-c', `exec 2>&1\n${script}`], {
    cwd: start,
    env: { ...process.env, PATH: `${bin}:${path.dirname(process.execPath)}:${process.env['PATH']}` },
    encoding: 'utf8',
    timeout: 110_000,
  })
  expect(status, stdout).toBe(0)
  outputs = stdout.split(`${mark}\n`).slice(0, -1)
  if (process.env['LEASEHOLD_TEST_WRITE_DAY'] === '1') write()
}, 120_000)

function write(): void {
  let at = 0
  const written = document.replaceAll(step, (_, commands: string) => {
    const output = outputs[at++]!.replaceAll(path.join(day, 'start'), '/home/ada')
    return `\`\`\`sh run\n${commands}\`\`\`\n${output === '' ? '' : `\n\`\`\`text\n${output}\`\`\`\n`}`
  })
  fs.writeFileSync(file, written)
}

describe('docs/day.md', () => {
  it('shows what its commands print', () => {
    expect(steps.length).toBeGreaterThan(15)
    for (const [number, { commands, shown }] of steps.entries()) {
      expect(settled(outputs[number]!), commands).toBe(settled(shown))
    }
  })

  it('has no output that belongs to no command', () => {
    expect(document.match(/^```text$/gm)?.length).toBe(steps.filter(({ shown }) => shown !== '').length)
  })

  it('leaves what it says it leaves', () => {
    const project = path.join(day, 'start/project')
    const ask = (...args: readonly string[]): Doc =>
      parse(spawnSync(process.execPath, [executable, ...args, '--json'], { cwd: project, encoding: 'utf8' }).stdout)
    expect(git(project, 'status', '--porcelain')).toBe('')
    expect(git(project, 'branch', '--format=%(refname:short)')).toBe('main')
    expect(git(project, 'log', '--merges', '--format=%s').split('\n').toSorted()).toEqual([
      'merge agents/one',
      'merge agents/three',
      'merge agents/two',
    ])
    expect(fs.readdirSync(path.join(day, 'start'))).toEqual(['project'])
    expect(ask('ticket', 'doctor').findings).toEqual([])
    const { tickets } = ask('ticket', 'list', '--status', 'all')
    const found = Object.fromEntries(tickets.map(({ slug, status, workflow_state }: Doc) => [slug, `${status} ${workflow_state}`]))
    expect(found).toEqual({
      'claim-acquire': 'closed done',
      'claims-log': 'closed done',
      'lease-expiry': 'closed done',
      'claims-index': 'open ready',
    })
    // Nobody lost a line, and none is there twice.
    for (const id of fs.readdirSync(path.join(project, '.leasehold/tickets'))) {
      const lines = fs
        .readFileSync(path.join(project, '.leasehold/tickets', id, 'events.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
      const ids = lines.map(line => parse(line).id)
      expect(new Set(ids).size).toBe(ids.length)
    }
    const index = ask('ticket', 'show', 'claims-index')
    expect(index.ticket.events.filter(({ type }: Doc) => type === 'comment').map(({ actor }: Doc) => actor)).toEqual([
      'agent:one',
      'agent:two',
      'agent:three',
    ])
  })
})
