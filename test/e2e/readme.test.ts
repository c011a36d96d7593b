import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exitCodes } from '../../src/door/cli/output.ts'

// The README is run: what it shows as a session must come out so, and its example must work.

const root = path.join(import.meta.dirname, '../..')
const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8')
const executable = path.join(root, 'dist/bin/lh.cjs')

const blocks = (language: string): readonly string[] =>
  [...readme.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(block => block[1] === language).map(block => block[2]!)

let folder: string

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(tmpdir(), 'leasehold-readme-'))
  const first = path.join(folder, 'first')
  fs.mkdirSync(first)
  for (const args of [
    ['init', '-q'],
    ['commit', '-q', '--allow-empty', '-m', 'first'],
    ['worktree', 'add', '-q', '../second'],
  ]) {
    expect(spawnSync('git', args, { cwd: first }).status).toBe(0)
  }
})

afterAll(() => fs.rmSync(folder, { recursive: true, force: true }))

/** What differs from run to run: ids, times, short durations. */
const settled = (text: string): string =>
  text
    .replaceAll(/\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b/g, '<ulid>')
    .replaceAll(/\bwt:[0-9a-f]{8}\b/g, '<worktree>')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replaceAll(/\b\d+ m?s ago/g, '<while> ago')

describe('README.md', () => {
  it('shows a session as it is', () => {
    const session = blocks('console').join('')
    const commands = session
      .split('\n')
      .filter(line => line.startsWith('$ '))
      .map(line => line.slice(2))
    expect(commands.length).toBeGreaterThan(5)
    const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`
    const script = [
      `lh() { ${quoted(process.execPath)} ${quoted(executable)} "$@"; }`,
      ...commands.flatMap(command => [`printf '%s\\n' ${quoted(`$ ${command}`)}`, command]),
    ].join('\n')
    const { stdout } = spawnSync('sh', ['-c', `exec 2>&1\n${script}`], {
      cwd: path.join(folder, 'first'),
      encoding: 'utf8',
      timeout: 50_000,
    })
    expect(settled(stdout)).toBe(settled(session))
  })

  it('has commands for tickets and worktrees that work in this order', () => {
    const app = path.join(folder, 'app')
    const bin = path.join(folder, 'bin')
    for (const dir of [app, bin]) fs.mkdirSync(dir)
    fs.writeFileSync(path.join(app, 'package.json'), '{ "scripts": { "test": "true" } }')
    const program = (name: string, text: string): void => fs.writeFileSync(path.join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
    program('lh', `exec '${process.execPath}' '${executable}' "$@"`)
    // An agent does some work.
    program('claude', 'echo work > work && git add work && git commit -q -m work')
    const begin = 'git init -q -b main && git config user.name ada && git add . && git commit -q -m start'
    const wanted = blocks('sh').filter(block => /^lh (?:gate define|ticket create --title "Faster)/.test(block))
    expect(wanted).toHaveLength(2)
    const env: NodeJS.ProcessEnv = { ...process.env, LEASEHOLD_AGENT_ID: 'human:ada', PATH: `${bin}:${process.env['PATH']}` }
    const done = spawnSync('sh', ['-exc', `exec 2>&1\n${begin}\n${wanted.join('')}`], { cwd: app, env, encoding: 'utf8', timeout: 50_000 })
    expect(done.status, done.stdout).toBe(0)
    expect(fs.readFileSync(path.join(app, 'work'), 'utf8')).toBe('work\n')
    const left = spawnSync(process.execPath, [executable, 'ticket', 'list'], { cwd: app, env, encoding: 'utf8' })
    expect(left.stdout).not.toMatch(/inprogress|ready/)
  })

  it('has an example that works with the package', () => {
    const [example] = blocks('js')
    const program = path.join(folder, 'second', 'example.mjs')
    fs.writeFileSync(program, example!)
    fs.mkdirSync(path.join(folder, 'node_modules'))
    fs.symlinkSync(root, path.join(folder, 'node_modules/leasehold'))
    const run = (): string => {
      const { stdout, stderr } = spawnSync(process.execPath, [program], { cwd: path.dirname(program), encoding: 'utf8', timeout: 30_000 })
      return stdout + stderr
    }
    expect(run()).toMatch(/^env:staging is ours, token \d+\n$/)
    const take = spawnSync(process.execPath, [executable, 'claim', 'acquire', 'env:staging', '--agent', 'agent:other'], {
      cwd: path.join(folder, 'first'),
    })
    expect(take.status).toBe(0)
    expect(run()).toMatch(/^env:staging is held by agent:other \(wt:[0-9a-f]{8}\), for another 30 min\n$/)
  })

  it('promises only commands that the package and the checks know', () => {
    const { scripts } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
    const workflow = fs.readFileSync(path.join(root, '.github/workflows/check.yml'), 'utf8')
    const [start] = blocks('sh')
    const promised = [...start!.matchAll(/npm (?:run )?(\w+)/g)].map(([command, name]) => ({ command, name: name! }))
    expect(promised.map(({ name }) => name)).toEqual(['ci', 'demo', 'ci', 'test'])
    for (const { command, name } of promised) {
      if (name !== 'ci') expect(scripts).toHaveProperty(name)
      expect(workflow).toContain(`run: ${command}`)
    }
  })

  it('lists the exit codes that there are', () => {
    const listed = [...readme.matchAll(/^\| (\d+) \| (\w+) \|/gm)].map(([, code, name]) => [name, Number(code)])
    expect(Object.fromEntries(listed)).toEqual({ ok: 0, ...exitCodes })
  })

  it('links only to what is there', () => {
    for (const document of documents()) {
      const text = fs.readFileSync(path.join(root, document), 'utf8')
      for (const [, target = ''] of text.matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)) {
        if (!/^[a-z]+:/.test(target))
          expect(fs.existsSync(path.join(root, path.dirname(document), target)), `${document}: ${target}`).toBe(true)
      }
    }
  })

  it('names only files that are there', () => {
    for (const document of documents()) {
      const text = fs.readFileSync(path.join(root, document), 'utf8')
      for (const [, file = ''] of text.matchAll(/`((?:src|test|scripts|docs)\/[\w./-]+\.\w+)`/g)) {
        expect(fs.existsSync(path.join(root, file)), `${document}: ${file}`).toBe(true)
      }
    }
  })
})

function documents(): readonly string[] {
  const decisions = fs.readdirSync(path.join(root, 'docs/decisions')).map(name => `docs/decisions/${name}`)
  return [
    'README.md',
    'ARCHITECTURE.md',
    'GLOSSARY.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'docs/fault-model.md',
    'docs/config.md',
    'docs/day.md',
    'docs/gates.md',
    'docs/launch.md',
    'docs/library.md',
    'docs/tickets.md',
    'docs/reference.md',
    ...decisions,
  ]
}
