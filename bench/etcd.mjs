// @ts-check
// Leases in a real etcd of three nodes on loopback, in one run beside what they are compared with: a bare transaction of the same client,
// `etcdctl lock`, Redis `SET NX`, and our own store in files. What is not installed is left out, and said.
import { spawn, spawnSync } from 'node:child_process'
import net from 'node:net'
import path from 'node:path'
import { median, quantile, sleep } from './measure.mjs'
import { plain } from './report.mjs'
import { concurrently, expectYes, libraryModule, openResident, repository, temporaryDirectory } from './stores.mjs'

const ttlSecs = 3600

/** @param {string} program */
const isInstalled = program => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0

/** @returns {Promise<number>} */
const freePort = () =>
  new Promise(resolve => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = /** @type {net.AddressInfo} */ (server.address())
      server.close(() => resolve(port))
    })
  })

/** @type {Set<import('node:child_process').ChildProcess>} */
const daemons = new Set()
process.on('exit', () => {
  for (const child of daemons) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))
// Each folder that goes with this process is a listener.
process.setMaxListeners(50)

/** Ends with this process, and keeps it from nothing. @param {string} program @param {readonly string[]} args */
function daemon(program, args) {
  const child = spawn(program, args, { stdio: 'ignore' })
  child.unref()
  daemons.add(child)
  return child
}

/** Three nodes; `host:port` of each. */
async function startCluster() {
  const folder = temporaryDirectory('etcd')
  const names = ['n1', 'n2', 'n3']
  const ports = await Promise.all(names.flatMap(() => [freePort(), freePort()]))
  const peer = (/** @type {number} */ at) => `http://127.0.0.1:${ports[2 * at + 1]}`
  const client = (/** @type {number} */ at) => `http://127.0.0.1:${ports[2 * at]}`
  const cluster = names.map((name, at) => `${name}=${peer(at)}`).join(',')
  for (const [at, name] of names.entries())
    daemon('etcd', [
      `--name=${name}`,
      `--data-dir=${path.join(folder, name)}`,
      '--log-level=error',
      '--quota-backend-bytes=8589934592',
      `--listen-client-urls=${client(at)}`,
      `--advertise-client-urls=${client(at)}`,
      `--listen-peer-urls=${peer(at)}`,
      `--initial-advertise-peer-urls=${peer(at)}`,
      `--initial-cluster=${cluster}`,
    ])
  const addresses = names.map((_, at) => `127.0.0.1:${ports[2 * at]}`)
  for (const address of addresses)
    while (
      !(await fetch(`http://${address}/health`).then(
        ({ ok }) => ok,
        () => false,
      ))
    )
      await sleep(50)
  return addresses
}

/** The library on a space of that cluster. @param {readonly string[]} addresses @param {string} space */
async function openSpace(addresses, space) {
  const [{ Coordinator, defaultPolicy }, { openEtcdStore }] = await Promise.all([libraryModule('index'), libraryModule('store/etcd/open')])
  const none = { user: null, passwordFile: null, caFile: null, certFile: null, keyFile: null }
  const { systemClock } = await libraryModule('host/clock')
  const store = openEtcdStore({
    etcd: { url: `etcd://${addresses.join(',')}/${space}`, hosts: [], access: none },
    clock: systemClock(),
    localDirectory: temporaryDirectory('etcd-local'),
    lockWaitMs: 60_000,
    limits: { max_indefinite_leases_per_agent: 2, max_indefinite_leases_per_repo: 10 },
    limitsChosen: [],
  })
  return { store, coordinator: new Coordinator(store, defaultPolicy, 'bench') }
}

/** @param {number} session */
const inSession = session => ({
  holder: { agentId: `agent:worker-${session}`, worktreeId: 'wt:00000001', sessionId: `session-${session}`, witness: null },
})

/** @param {() => Promise<unknown>} work @returns {Promise<number>} milliseconds */
async function timed(work) {
  const start = performance.now()
  await work()
  return performance.now() - start
}

const base64 = (/** @type {string} */ text) => Buffer.from(text).toString('base64')

/** @param {{ quick: boolean }} options @returns {Promise<import('./report.mjs').Row[]>} */
export async function etcd({ quick }) {
  if (!isInstalled('etcd')) {
    console.log('\netcd is not installed (Debian: etcd-server etcd-client): nothing was measured')
    return []
  }
  const addresses = await startCluster()
  const rows = [...(await throughput(addresses, quick)), ...(await renewing(addresses, quick)), ...(await waking(addresses, quick))]
  return [...rows, ...(await peers(addresses, quick))]
}

/** Acquires of free keys, in turns with transactions that create one key if it is absent. @param {readonly string[]} addresses @param {boolean} quick */
async function throughput(addresses, quick) {
  const { store, coordinator } = await openSpace(addresses, 'throughput')
  let made = 0
  const acquire = () => coordinator.acquire(inSession(made % 10), { resources: [`ticket:t-${made++}`], ttlSecs }).then(expectYes)
  const bare = async () => {
    const key = base64(`bare/${made++}`)
    const compare = [{ key, target: 'CREATE', result: 'EQUAL', create_revision: '0' }]
    const { body } = await store.gateway.call('/v3/kv/txn', {
      compare,
      success: [{ request_put: { key, value: base64('x'.repeat(400)) } }],
    })
    if (body.succeeded !== true) throw new Error('it was there')
  }
  // A process that stays: what is called often is compiled by then.
  await concurrently(quick ? 2000 : 4000, 32, () => (made % 2 === 0 ? acquire() : bare()))
  const rows = []
  for (const callers of [1, 32]) {
    /** @type {Record<string, number[]>} */
    const rates = { own: [], bare: [] }
    // Many short turns: whatever else the machine does meets both alike.
    const count = callers === 1 ? 50 : 640
    for (let block = 0; block < (quick ? 12 : 40); block++) {
      rates['own']?.push((1000 * count) / (await timed(() => concurrently(count, callers, acquire))))
      rates['bare']?.push((1000 * count) / (await timed(() => concurrently(count, callers, bare))))
    }
    const [own, floor] = [median(rates['own'] ?? []), median(rates['bare'] ?? [])]
    rows.push({
      what: `acquire, ${callers} caller${callers === 1 ? '' : 's'}, against a bare create-if-absent of the same client`,
      value: own / floor,
      unit: 'x',
      target: { atLeast: 0.7 },
      note: `${plain(own)} a second against ${plain(floor)}`,
    })
  }
  store.close()
  return rows
}

/** @param {readonly string[]} addresses @param {boolean} quick */
async function renewing(addresses, quick) {
  const { store, coordinator } = await openSpace(addresses, 'renewing')
  const [sessions, each] = [100, quick ? 20 : 100]
  const claims = sessions * each
  const filled = await timed(() =>
    concurrently(claims, 64, number =>
      coordinator.acquire(inSession(number % sessions), { resources: [`ticket:r-${number}`], ttlSecs }).then(expectYes),
    ),
  )
  // A process that is new to it, and knows of no renewal.
  const other = await openSpace(addresses, 'renewing')
  const cpu = process.cpuUsage()
  const renewed = await timed(() =>
    concurrently(sessions, 64, session =>
      other.coordinator.renew(inSession(session), { target: { resource: `ticket:r-${session}` } }).then(expectYes),
    ),
  )
  const { user, system } = process.cpuUsage(cpu)
  const listed = await timed(async () => {
    const view = await other.store.view()
    const alive = [...view.all()].filter(lease => view.lapse(lease).state === 'running').length
    if (alive !== claims) throw new Error(`${alive} of ${claims} are alive`)
  })
  for (const { store: open } of [{ store }, other]) open.close()
  return [
    { what: `${plain(claims)} claims taken by ${sessions} sessions, 64 at a time`, value: claims / (filled / 1000), unit: '/s' },
    {
      what: `all ${plain(claims)} claims renewed, once for each session`,
      value: renewed,
      unit: 'ms',
      note: `${plain(claims / (renewed / 1000))} claims a second; ${plain((user + system) / 1000)} ms of CPU here`,
    },
    { what: `all ${plain(claims)} listed, with what is left of each`, value: listed, unit: 'ms' },
  ]
}

/** From a release until the one who waited has it. @param {readonly string[]} addresses @param {boolean} quick */
async function waking(addresses, quick) {
  const rounds = quick ? 10 : 30
  const [ann, bob] = [await openSpace(addresses, 'waking'), await openSpace(addresses, 'waking')]
  const own = []
  for (let round = 0; round < rounds; round++) {
    const resource = `env:wake-${round}`
    expectYes(await ann.coordinator.acquire(inSession(1), { resources: [resource], ttlSecs }))
    const waiting = bob.coordinator.acquire(inSession(2), { resources: [resource], ttlSecs, waitMs: 60_000 })
    await sleep(100)
    const start = performance.now()
    await ann.coordinator.release(inSession(1), { target: { resource } })
    expectYes(await waiting)
    own.push(performance.now() - start)
  }
  for (const { store } of [ann, bob]) store.close()
  const rows = [
    {
      what: 'a release until the waiter has it, median',
      value: median(own),
      unit: 'ms',
      note: `9 of 10 within ${plain(quantile(own, 0.9))}`,
    },
  ]
  if (!isInstalled('etcdctl')) return rows
  const theirs = []
  for (let round = 0; round < rounds; round++) {
    const holder = await locked(addresses, `wake-${round}`)
    const waiter = etcdctlLock(addresses, `wake-${round}`)
    const has = said(waiter)
    await sleep(150)
    const start = performance.now()
    holder.kill('SIGINT')
    await has
    theirs.push(performance.now() - start)
    waiter.kill('SIGINT')
    await new Promise(resolve => waiter.once('exit', resolve))
  }
  return [
    ...rows,
    {
      what: 'the same with `etcdctl lock`, against ours',
      value: median(own) / median(theirs),
      unit: 'x',
      note: `etcdctl ${plain(median(theirs))} ms, 9 of 10 within ${plain(quantile(theirs, 0.9))}`,
    },
  ]
}

/** @param {readonly string[]} addresses @param {string} name @param {readonly string[]} [command] */
const etcdctlLock = (addresses, name, command = []) =>
  spawn('etcdctl', ['--endpoints', addresses.join(','), 'lock', name, ...command], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, ETCDCTL_API: '3' },
  })

/** Its first words: it has the lock. @param {import('node:child_process').ChildProcess} child */
const said = child => new Promise(resolve => child.stdout?.once('data', resolve))

/** @param {readonly string[]} addresses @param {string} name */
async function locked(addresses, name) {
  const child = etcdctlLock(addresses, name)
  await said(child)
  return child
}

/** Taking and giving back one thing, one caller after the other. @param {readonly string[]} addresses @param {boolean} quick */
async function peers(addresses, quick) {
  const rounds = quick ? 100 : 400
  /** @type {import('./report.mjs').Row[]} */
  const rows = []
  /** @param {string} what @param {number} count @param {(number: number) => Promise<unknown>} pair @param {string} note */
  const measure = async (what, count, pair, note) => {
    for (let warm = 0; warm < Math.min(20, count); warm++) await pair(-1 - warm)
    const took = []
    for (let number = 0; number < count; number++) took.push(await timed(() => pair(number)))
    rows.push({
      what: `take and give back: ${what}`,
      value: median(took),
      unit: 'ms',
      note: `9 of 10 within ${plain(quantile(took, 0.9))}; ${note}`,
    })
  }
  const files = await openResident(repository('etcd-files'))
  await measure(
    'Leasehold, files',
    rounds,
    async number => {
      const resource = `env:f-${number}`
      expectYes(await files.coordinator.acquire(inSession(1), { resources: [resource], ttlSecs }))
      await files.coordinator.release(inSession(1), { target: { resource } })
    },
    'one machine, durable, fenced, recorded',
  )
  files.store.close()
  const own = await openSpace(addresses, 'peers')
  await measure(
    'Leasehold, etcd',
    rounds,
    async number => {
      const resource = `env:e-${number}`
      expectYes(await own.coordinator.acquire(inSession(1), { resources: [resource], ttlSecs }))
      await own.coordinator.release(inSession(1), { target: { resource } })
    },
    'a majority of three, durable, fenced, recorded; a process that stays',
  )
  own.store.close()
  if (isInstalled('etcdctl'))
    await measure(
      'etcdctl lock … true',
      quick ? 10 : 30,
      number => new Promise(resolve => etcdctlLock(addresses, `peer-${number}`, ['true']).once('exit', resolve)),
      'a process each time; a majority of three, durable, no record; lost with its engine lease',
    )
  for (const durable of [true, false]) {
    const redis = await startRedis(durable)
    if (redis === null) {
      console.log('\nredis-server is not installed: it is left out')
      break
    }
    const release = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end"
    await measure(
      `Redis SET NX PX, ${durable ? 'synced each time' : 'as it comes'}`,
      rounds,
      async number => {
        if ((await redis.call('SET', `k${number}`, 'me', 'NX', 'PX', '3600000')) !== '+OK') throw new Error('it was there')
        await redis.call('EVAL', release, '1', `k${number}`, 'me')
      },
      `one server, ${durable ? 'durable' : 'not durable'}, no fencing token, no record`,
    )
    redis.close()
  }
  return rows
}

/** A Redis of its own, and one connection to it. @param {boolean} durable */
async function startRedis(durable) {
  if (!isInstalled('redis-server')) return null
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', temporaryDirectory('redis'), '--save', '']
  const server = daemon('redis-server', [...args, ...(durable ? ['--appendonly', 'yes', '--appendfsync', 'always'] : [])])
  for (;;) {
    const socket = await new Promise(resolve => {
      const made = net.connect(port, '127.0.0.1', () => resolve(made)).once('error', () => resolve(null))
    })
    if (socket === null) {
      await sleep(50)
      continue
    }
    socket.setNoDelay(true)
    return {
      /** One line of answer to one command. @param {...string} words @returns {Promise<string>} */
      call: (...words) =>
        new Promise(resolve => {
          socket.once('data', (/** @type {Buffer} */ part) => resolve(part.toString().trim()))
          socket.write(`*${words.length}\r\n${words.map(word => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`)
        }),
      close: () => {
        socket.destroy()
        server.kill('SIGKILL')
      },
    }
  }
}
