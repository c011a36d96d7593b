import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = path.resolve(import.meta.dirname, '../..')
const oxlint = path.join(root, 'node_modules/oxlint/bin/oxlint')

/** Files that every arrow in the tables below may point at. */
const TARGETS = [
  'core/lease.ts',
  'core/fault.ts',
  'host/clock.ts',
  'store/store.ts',
  'store/memory.ts',
  'store/open.ts',
  'store/file/log.ts',
  'store/etcd/client.ts',
  'coordinator.ts',
  'service/launch/launch.ts',
  'service/session/session.ts',
  'door/cli/main.ts',
  'door/cli/render.ts',
  'door/web/server.ts',
  'door/web/main.ts',
  'version.ts',
  'index.ts',
]

type Case = readonly [file: string, code: string]
const uses = (specifier: string): string => `import { x } from '${specifier}'; export const y = x\n`
const types = (specifier: string): string => `import type { X } from '${specifier}'; export type Y = X\n`

const REFUSED: readonly Case[] = [
  ['core/a.ts', uses('node:fs')],
  ['core/a.ts', uses('yaml')],
  ['core/a.ts', uses('../store/store.ts')],
  ['core/a.ts', types('../store/store.ts')],
  ['core/a.ts', uses('../host/clock.ts')],
  ['core/a.ts', uses('../version.ts')],
  ['core/a.ts', uses('./../store/store.ts')],
  ['core/deep/a.ts', uses('../../coordinator.ts')],
  ['core/a.ts', "export { x } from '../store/store.ts'\n"],
  ['core/a.ts', "export * from '../store/store.ts'\n"],
  ['core/a.ts', "export type Y = import('../store/store.ts').X\n"],
  ['core/a.ts', 'export const now = (): number => Date.now()\n'],
  ['core/a.ts', 'export const now = (): Date => new Date()\n'],
  ['core/a.ts', 'export const dice = (): number => Math.random()\n'],
  ['core/a.ts', 'export const id = (): number => process.pid\n'],
  ['core/a.ts', 'export const id = (): string => globalThis.crypto.randomUUID()\n'],
  ['core/a.ts', 'export const soon = (f: () => void): unknown => setTimeout(f, 1)\n'],
  ['core/a.ts', 'export async function later(): Promise<void> {}\n'],
  ['core/a.ts', 'export const later = (): unknown => Promise.resolve(1)\n'],
  ['store/a.ts', uses('../coordinator.ts')],
  ['store/a.ts', uses('../service/launch/launch.ts')],
  ['store/file/a.ts', uses('../../door/cli/main.ts')],
  ['store/file/a.ts', uses('../etcd/client.ts')],
  ['store/file/a.ts', uses('../memory.ts')],
  ['store/file/a.ts', uses('../open.ts')],
  ['store/memory.ts', uses('./file/log.ts')],
  ['coordinator.ts', uses('./store/file/log.ts')],
  ['coordinator.ts', uses('./store/memory.ts')],
  ['coordinator.ts', types('./store/open.ts')],
  ['coordinator.ts', uses('./store/store.ts')],
  ['coordinator.ts', uses('./door/cli/main.ts')],
  ['coordinator.ts', uses('./service/launch/launch.ts')],
  ['service/launch/a.ts', uses('../../door/cli/main.ts')],
  ['service/launch/a.ts', uses('../../store/file/log.ts')],
  ['service/launch/a.ts', uses('../../store/open.ts')],
  ['service/launch/a.ts', "export const open = (): Promise<unknown> => import('../../store/file/log.ts')\n"],
  ['service/launch/a.ts', "export const open = (): unknown => require('../../store/file/log.ts')\n"],
  ['host/a.ts', uses('../service/launch/launch.ts')],
  ['host/a.ts', uses('../store/store.ts')],
  ['host/a.ts', uses('../core/lease.ts')],
  ['host/a.ts', uses('../door/cli/main.ts')],
  ['door/cli/a.ts', uses('../web/server.ts')],
  ['door/cli/a.ts', uses('../../store/file/log.ts')],
  ['door/cli/a.ts', uses('../../host/clock.ts')],
  ['door/cli/a.ts', uses('../../core/lease.ts')],
  ['index.ts', uses('./door/cli/main.ts')],
  ['version.ts', uses('./core/lease.ts')],
  ['stray.ts', uses('./core/lease.ts')],
  ['utils/a.ts', uses('../core/lease.ts')],
  ['service/launch/a.ts', "export const hello = (): void => console.log('hello')\n"],
]

const ALLOWED: readonly Case[] = [
  ['core/a.ts', uses('./lease.ts')],
  ['core/deep/a.ts', uses('../lease.ts')],
  ['store/a.ts', uses('../core/lease.ts')],
  ['store/file/a.ts', uses('../../host/clock.ts')],
  ['store/file/a.ts', uses('../store.ts')],
  ['store/file/a.ts', uses('./log.ts')],
  ['store/file/a.ts', uses('node:fs')],
  ['store/open.ts', "export const open = (): Promise<unknown> => import('./file/log.ts')\n"],
  ['coordinator.ts', types('./store/store.ts')],
  ['coordinator.ts', uses('./core/lease.ts')],
  ['service/launch/a.ts', uses('../session/session.ts')],
  ['service/launch/a.ts', uses('../../coordinator.ts')],
  ['service/launch/a.ts', uses('../../host/clock.ts')],
  ['service/launch/a.ts', types('../../store/store.ts')],
  ['host/a.ts', types('../core/lease.ts')],
  ['host/a.ts', uses('../core/fault.ts')],
  ['door/cli/a.ts', uses('../../service/launch/launch.ts')],
  ['door/cli/a.ts', uses('../../store/open.ts')],
  ['door/cli/a.ts', types('../../core/lease.ts')],
  ['door/cli/a.ts', uses('./render.ts')],
  ['door/cli/a.ts', "export const enter = (): Promise<unknown> => import('../web/main.ts')\n"],
  ['door/cli/a.ts', "export const hello = (): void => console.log('hello')\n"],
  ['index.ts', uses('./coordinator.ts')],
]

let folder: string

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'leasehold-arrows-'))
  for (const name of ['.oxlintrc.json', 'tsconfig.json', 'package.json']) cpSync(path.join(root, name), path.join(folder, name))
  mkdirSync(path.join(folder, 'scripts'))
  cpSync(path.join(root, 'scripts/oxlint-arrows.mjs'), path.join(folder, 'scripts/oxlint-arrows.mjs'))
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Finding {
  readonly filename: string
  readonly code: string
}

/** Runs the project's own lint on a `src` that consists of the targets and of `files`; type-aware rules are not needed here. */
function lint(files: readonly Case[]): Finding[] {
  const src = path.join(folder, 'src')
  rmSync(src, { recursive: true, force: true })
  const all: Case[] = [...TARGETS.map((file): Case => [file, 'export const x = 1\nexport type X = number\n']), ...files]
  for (const [file, code] of all) {
    mkdirSync(path.dirname(path.join(src, file)), { recursive: true })
    writeFileSync(path.join(src, file), code)
  }
  const { stdout, stderr } = spawnSync(process.execPath, [oxlint, '--format=json', 'src'], { cwd: folder, encoding: 'utf8' })
  try {
    return (JSON.parse(stdout) as { diagnostics: Finding[] }).diagnostics
  } catch {
    throw new Error(`oxlint gave no report: ${stdout}${stderr}`)
  }
}

const ARROW_RULE = /^leasehold\((arrows|no-promise)\)$|no-restricted-(globals|properties)|no-console/

/** Lints each case as a file of its own, with few runs: an `a.ts` gets a name of its own, a fixed name waits for the next run. */
function findingsOf(cases: readonly Case[]): Map<Case, string[]> {
  const findings = new Map<Case, string[]>()
  let waiting = cases.map((one, number) => ({ one, file: one[0].replace(/\ba\.ts$/, `case-${number}.ts`) }))
  while (waiting.length > 0) {
    const run = new Map(waiting.toReversed().map(each => [each.file, each.one]))
    const found = lint([...run].map(([file, [, code]]): Case => [file, code]))
    for (const [file, one] of run) {
      const here = found.filter(finding => ARROW_RULE.test(finding.code) && finding.filename.endsWith(`src/${file}`))
      findings.set(
        one,
        here.map(finding => finding.code),
      )
    }
    waiting = waiting.filter(each => !findings.has(each.one))
  }
  return findings
}

describe('the rule of arrows', () => {
  let findings: Map<Case, string[]>
  beforeAll(() => {
    findings = findingsOf([...REFUSED, ...ALLOWED])
  })

  it.each(REFUSED.map(one => ({ file: one[0], code: one[1].trim(), one })))('refuses in $file: $code', ({ one }) => {
    expect(findings.get(one)).not.toEqual([])
  })

  it.each(ALLOWED.map(one => ({ file: one[0], code: one[1].trim(), one })))('allows in $file: $code', ({ one }) => {
    expect(findings.get(one)).toEqual([])
  })

  it('refuses a circle of files', () => {
    const circle: Case[] = [
      ['core/a.ts', uses('./b.ts')],
      ['core/b.ts', "import { y } from './a.ts'\nexport const x = y\n"],
    ]
    expect(lint(circle).map(finding => finding.code)).toContain('import(no-cycle)')
  })
})

/** Which service folder imports which, from the import paths of all files. */
function serviceArrows(files: readonly Case[]): Map<string, Set<string>> {
  const arrows = new Map<string, Set<string>>()
  for (const [file, code] of files) {
    for (const [, specifier] of code.matchAll(/(?:from|import\()\s*['"](\.[^'"]+)['"]/g)) {
      const [from, to] = [file, path.posix.join(path.posix.dirname(file), specifier ?? '')].map(name => name.split('/')[0] ?? '')
      if (from !== undefined && to !== undefined && from !== to && to !== '..' && file.includes('/'))
        arrows.set(from, (arrows.get(from) ?? new Set()).add(to))
    }
  }
  return arrows
}

/** A circle of folders if there is one: `[a, b, a]`. */
function circleIn(arrows: Map<string, Set<string>>): string[] | undefined {
  const finished = new Set<string>()
  const visit = (folder: string, trail: string[]): string[] | undefined => {
    if (trail.includes(folder)) return [...trail.slice(trail.indexOf(folder)), folder]
    if (finished.has(folder)) return undefined
    for (const next of arrows.get(folder) ?? []) {
      const circle = visit(next, [...trail, folder])
      if (circle !== undefined) return circle
    }
    finished.add(folder)
    return undefined
  }
  for (const folder of arrows.keys()) {
    const circle = visit(folder, [])
    if (circle !== undefined) return circle
  }
  return undefined
}

describe('services', () => {
  it('use only services below them, never in a circle', () => {
    const services = path.join(root, 'src/service')
    const names = readdirSync(services, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))
    expect(names).not.toEqual([])
    expect(circleIn(serviceArrows(names.map((name): Case => [name, readFileSync(path.join(services, name), 'utf8')])))).toBeUndefined()
  })

  it('would be caught in a circle of folders that is no circle of files', () => {
    const files: Case[] = [
      ['launch/a.ts', uses('../session/a.ts')],
      ['session/b.ts', uses('../identity/a.ts')],
      ['identity/a.ts', uses('../launch/b.ts')],
    ]
    expect(circleIn(serviceArrows(files))).toEqual(['launch', 'session', 'identity', 'launch'])
  })
})
