import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect } from 'vitest'
import { folder, git, parse } from '../support/cli.ts'
import { requires } from '../support/skip.ts'

// The packed tarball, installed into an empty folder, as a stranger gets it. Dependencies come from npm's cache or the registry.

const root = path.resolve(import.meta.dirname, '../..')

interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

// The tests have a home of their own; npm's cache is in the real one.
const { homedir } = os.userInfo()
const cache = spawnSync('npm', ['config', 'get', 'cache'], { encoding: 'utf8', env: { ...process.env, HOME: homedir } }).stdout.trim()

function run(cwd: string, program: string, ...args: readonly string[]): Ran {
  const env = { ...process.env, LEASEHOLD_AGENT_ID: 'agent:a', npm_config_cache: cache, npm_config_update_notifier: 'false' }
  return spawnSync(program, args, { cwd, env, encoding: 'utf8', timeout: 100_000 })
}

/** The folder with the package installed, or why there is none. */
function install(): { readonly dir: string; readonly error: string | null } {
  const dir = folder('installed-')
  const packed = run(root, 'npm', 'pack', '--silent', '--ignore-scripts', '--pack-destination', dir)
  if (packed.status !== 0) return { dir, error: null }
  const tarball = fs.readdirSync(dir).find(name => name.endsWith('.tgz'))!
  fs.writeFileSync(path.join(dir, 'package.json'), '{"private":true}\n')
  const done = run(
    dir,
    'npm',
    'install',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    '--fetch-retries=0',
    '--fetch-timeout=20000',
    `./${tarball}`,
  )
  return { dir, error: done.status === 0 ? null : done.stderr }
}

/** What our own program said: npm comments on its own settings there. */
const ours = (stderr: string): string => stderr.replace(/^npm (?:warn|notice).*\n/gm, '')

const { dir, error } = install()
const isReachable = error === null || !/ENOTFOUND|ETIMEDOUT|ECONNREFUSED|EAI_AGAIN|ENOTCACHED|network|timeout/i.test(error)
const needsRegistry = requires(isReachable, 'needs the npm registry, or a cache that has the dependencies')

needsRegistry.it('the package installs into an empty folder', () => {
  expect(error).toBeNull()
  const files = fs.readdirSync(path.join(dir, 'node_modules', 'leasehold'))
  expect(files).toEqual(expect.arrayContaining(['dist', 'package.json', 'LICENSE']))
  expect(files).not.toEqual(expect.arrayContaining(['src', 'test', 'node_modules']))
})

needsRegistry.it('both names run from there', () => {
  const { version } = parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
  for (const name of ['lh', 'leasehold']) {
    const { status, stdout, stderr } = run(dir, 'npx', name, '--version')
    expect({ status, stdout, stderr: ours(stderr) }).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
  }
})

needsRegistry.it('it claims, from there', () => {
  git(dir, 'init', '-q', 'work')
  const lh = (...words: readonly string[]): Ran => run(path.join(dir, 'work'), path.join(dir, 'node_modules/.bin/lh'), ...words)
  expect(parse(lh('claim', 'acquire', 'x', '--json').stdout)).toMatchObject({ ok: true, lease: { token: 1 } })
  expect(lh('claim', 'list', '--agent', 'agent:b').stdout).toContain('agent:a')
  expect(lh('claim', 'acquire', 'x', '--agent', 'agent:b').status).toBe(3)
})

needsRegistry.it('the library can be imported from there', () => {
  const script = "import('leasehold').then(all => console.log(JSON.stringify(Object.keys(all))))"
  const { status, stdout, stderr } = run(dir, process.execPath, '-e', script)
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(parse(stdout)).toEqual(expect.arrayContaining(['appendClaimOp', 'readClaimLog']))
})

needsRegistry.it(
  'lh demo runs there and proves what it shows',
  () => {
    const { status, stdout, stderr } = run(dir, 'npx', 'lh', 'demo', '--json')
    expect({ status, stderr: ours(stderr) }).toEqual({ status: 0, stderr: '' })
    expect(parse(stdout).ok).toBe(true)
  },
  120_000,
)
