/**
 * The agent of `lh demo`, written into the temporary directory as `agent.mjs`: it stands in for a coding agent and knows Leasehold only
 * by its command line, so whatever it shows, a shell script could do as well.
 */
export const agentScript = `// One agent of \`lh demo\`. It works on tickets in its own Git worktree and knows Leasehold only by its command line.
import { execFile } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const [me, play] = [process.argv[2], JSON.parse(readFileSync('../play.json', 'utf8'))]
const notes = \`../notes-\${me}.json\`

const run = (program, args) =>
  new Promise(resolve => execFile(program, args, (error, stdout) => resolve({ exit: error === null ? 0 : error.code, stdout })))
const git = (...args) => run('git', args)
const tell = (event, facts = {}) => process.stdout.write(JSON.stringify({ at: Date.now(), agent: me, event, ...facts }) + '\\n')

async function lh(...args) {
  const { exit, stdout } = await run(process.execPath, [play.lh, ...args, '--json'])
  return { exit, ...JSON.parse(stdout) }
}

// A ticket is done when a commit on any branch says so.
async function done() {
  const { stdout } = await git('log', '--all', '--format=%s')
  return new Set(stdout.split('\\n').filter(line => line.startsWith('done: ')).map(line => line.slice('done: '.length)))
}

// Claims the next ticket that nobody holds. When all are held, waits for one whose holder gives no sign of life.
async function claim() {
  for (;;) {
    const finished = await done()
    const { leases } = await lh('claim', 'list')
    const leaseOf = ticket => leases.find(lease => lease.resource === 'ticket:' + ticket.name)
    const open = play.tickets.filter(ticket => !finished.has(ticket.name))
    const free = open.find(ticket => leaseOf(ticket) === undefined)
    const silent = open.find(ticket => leaseOf(ticket)?.last_beat <= leaseOf(ticket)?.acquired_at)
    const ticket = free ?? silent
    if (ticket === undefined) return null
    if (free === undefined) tell('waits', { ticket: ticket.name })
    const answer = await lh('claim', 'acquire', ticket.name, '--ttl', play.ttl, ...(free === undefined ? ['--wait=20s'] : []))
    if (answer.exit === 0) return { ...ticket, lease: answer.lease.lease_id, token: answer.lease.token }
    tell('busy', { ticket: ticket.name, by: answer.error.holder?.agent_id, exit: answer.exit })
    if (answer.exit !== 3) throw new Error(answer.error.message)
  }
}

async function work({ name, seconds, lease, token }) {
  tell('granted', { ticket: name, lease, token })
  writeFileSync(notes, JSON.stringify({ ticket: name, lease, token }))
  if ((await done()).has(name)) {
    tell('already', { ticket: name })
  } else {
    const end = Date.now() + seconds * 1000
    for (let renewed = Date.now(); Date.now() < end; await sleep(50)) {
      appendFileSync(name + '.txt', 'a line of work by ' + me + '\\n')
      if (Date.now() - renewed < play.renew_every_ms) continue
      const { exit } = await lh('claim', 'renew', name, '--token', token, '--lease', lease)
      if (exit !== 0) return tell('lost', { ticket: name, exit })
      renewed = Date.now()
    }
    // The token is checked where the effect happens: just before the commit.
    const { exit } = await lh('claim', 'check', name, '--token', token)
    if (exit !== 0) return tell('lost', { ticket: name, exit })
    await git('add', name + '.txt')
    const commit = await git('commit', '--quiet', '-m', 'done: ' + name, '-m', 'Leasehold-Token: ' + token)
    if (commit.exit !== 0) throw new Error('git commit failed')
    tell('done', { ticket: name, token })
  }
  await lh('claim', 'release', name, '--token', token, '--lease', lease)
  rmSync(notes)
}

// Started again after a crash: do not go on, ask first.
async function comeBack({ ticket, lease, token }) {
  tell('back', { ticket, token })
  const check = await lh('claim', 'check', ticket, '--token', token)
  tell('asked', { ticket, token, command: 'check', exit: check.exit, message: check.error?.message })
  const renew = await lh('claim', 'renew', ticket, '--token', token, '--lease', lease)
  tell('asked', { ticket, token, command: 'renew', exit: renew.exit, message: renew.error?.message })
  if (check.exit === 0 || renew.exit === 0) return
  await git('clean', '--quiet', '--force', '-d')
  rmSync(notes)
}

process.stdin.on('end', () => process.exit(3)).setEncoding('utf8')
if (existsSync(notes)) {
  await comeBack(JSON.parse(readFileSync(notes, 'utf8')))
} else {
  tell('ready')
  await new Promise(resolve => process.stdin.once('data', resolve))
  for (let ticket = await claim(); ticket !== null; ticket = await claim()) await work(ticket)
}
process.exit(0)
`
