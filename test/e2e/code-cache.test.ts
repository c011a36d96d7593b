import fs from 'node:fs'
import path from 'node:path'
import { expect, it } from 'vitest'
import { type Agent, executable, folder, repository, Running } from '../support/cli.ts'
import { PURPOSES, inFileName } from '../../scripts/purposes.mjs'

// The executable carries code that V8 made of it: docs/decisions/0017. That it is not used shows in nothing but time.

/** Loaded into a process before `lh`: notes which code it opens, and what V8 made of it. */
const observer = `
const fs = require('node:fs')
const path = require('node:path')
const vm = require('node:vm')
const note = text => fs.appendFileSync(process.env.SEEN, text + '\\n')
const { openSync } = fs
fs.openSync = (file, ...rest) => {
  const fd = openSync(file, ...rest)
  if (String(file).endsWith('.code')) note('opened ' + path.basename(file))
  return fd
}
const { Script } = vm
vm.Script = class extends Script {
  constructor(source, options) {
    super(source, options)
    const made = options.cachedData === undefined ? 'compiled' : this.cachedDataRejected ? 'rejected' : 'ready'
    note(made + ' ' + path.basename(options.filename))
  }
}
`

/** What a command line loads first, as the observer notes it. */
async function loadedBy(agent: Agent, line: string, ...more: readonly string[]): Promise<readonly string[]> {
  const directory = folder()
  const [hook, seen] = [path.join(directory, 'observer.cjs'), path.join(directory, 'seen')]
  fs.writeFileSync(hook, observer)
  const { code, stderr } = await agent.with({ NODE_OPTIONS: `--require ${hook}`, SEEN: seen }).run(line, ...more)
  expect({ line, code, stderr: code === 0 ? '' : stderr }).toEqual({ line, code: 0, stderr: '' })
  return fs.readFileSync(seen, 'utf8').trim().split('\n').slice(0, 2)
}

const { v8 } = process.versions

it('what agents run all day is ready to run, each with no more than its own code', async () => {
  const agent = repository().as('agent:a')
  await agent.acquire('env:there')
  const rest: Readonly<Record<string, string>> = {
    'claim acquire': 'env:a',
    'claim renew': 'env:a',
    'claim heartbeat': 'env:a',
    'claim check': 'env:a --token 2',
    'claim list': '',
    'claim release': 'env:a',
  }
  expect(Object.keys(rest).toSorted()).toEqual(PURPOSES.toSorted())
  for (const [purpose, words] of Object.entries(rest)) {
    // oxlint-disable-next-line no-await-in-loop -- the life of one lease
    const seen = await loadedBy(agent, `${purpose} ${words}`.trim())
    expect(seen, purpose).toEqual([`opened main.${inFileName(purpose)}.${v8}.code`, 'ready main.cjs'])
  }
  expect(await loadedBy(agent, 'status')).toEqual([`opened main.${v8}.code`, 'ready main.cjs'])
  const launch = await loadedBy(agent, 'launch --no-ticket --role dev --ready fd --', '/bin/sh', '-c', 'echo >&3')
  expect(launch).toEqual([`opened launch-main.${v8}.code`, 'ready launch-main.cjs'])
})

it('code that is missing, cut short or of another V8 costs time only', async () => {
  const agent = repository().as('agent:a')
  const dist = folder()
  for (const part of ['bin', 'prebuilds'])
    fs.cpSync(path.join(path.dirname(path.dirname(executable)), part), path.join(dist, part), { recursive: true })
  const [lh, file] = [path.join(dist, 'bin', 'lh.cjs'), path.join(dist, 'bin', `main.claim-acquire.${v8}.code`)]
  const acquires = async (name: string): Promise<void> => {
    const { code, stderr } = await new Running(process.execPath, [lh, 'claim', 'acquire', name], {
      cwd: agent.cwd,
      env: { ...process.env, ...agent.env },
    }).ended
    expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' })
  }
  const whole = fs.readFileSync(file)
  fs.writeFileSync(file, whole.subarray(0, whole.length - 1000))
  await acquires('env:cut')
  fs.writeFileSync(file, '')
  await acquires('env:empty')
  fs.writeFileSync(file, Buffer.concat([Buffer.alloc(64, 1), whole.subarray(64)]))
  await acquires('env:strange')
  fs.rmSync(file)
  await acquires('env:missing')
})
