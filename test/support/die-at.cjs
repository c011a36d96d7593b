// Loaded into a command by NODE_OPTIONS: kills it with SIGKILL at its n-th step that changes a disk, starts a program or asks a server. A step is one
// such call; DIE_AT=<n> dies before it, DIE_AT=<n>+ right after it has begun (a program that was started lives on).
'use strict'
const fs = require('node:fs')
const childProcess = require('node:child_process')
const http = require('node:http')

const wish = process.env.DIE_AT ?? ''
const number = parseInt(wish, 10)
const after = wish.endsWith('+')
const logFile = process.env.DIE_LOG
const write = fs.writeSync
const open = fs.openSync
let step = 0

const die = () => process.kill(process.pid, 'SIGKILL')

/** @type {[Record<string, any>, string][]} */
const steps = [
  ...['renameSync', 'rmSync', 'unlinkSync', 'mkdirSync', 'rmdirSync', 'linkSync', 'copyFileSync'].map(
    name => /** @type {[any, string]} */ ([fs, name]),
  ),
  ...['mkdtempSync', 'fsyncSync', 'fdatasync', 'utimesSync'].map(name => /** @type {[any, string]} */ ([fs, name])),
  [http, 'request'],
  ...['spawn', 'spawnSync'].map(name => /** @type {[any, string]} */ ([childProcess, name])),
]
for (const [module, name] of steps) {
  const original = module[name]
  module[name] = function (...args) {
    step++
    if (logFile !== undefined) write(open(logFile, 'a'), `${step} ${name} ${Array.isArray(args[1]) ? args[1].join(' ') : ''}\n`)
    if (step === number && !after) die()
    const result = original.apply(this, args)
    if (step === number) die()
    return result
  }
}
