import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { requires } from '../../support/skip.ts'
import {
  ancestors,
  bootId,
  environmentHolder,
  hostname,
  pidNamespace,
  processStartTicks,
  processState,
  sameUser,
  timeNamespace,
  vitality,
  witnessOf,
} from '../../../src/host/process.ts'

const children: ChildProcess[] = []
const start = (command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess & { readonly pid: number } => {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'ignore'] })
  children.push(child)
  return child as ChildProcess & { readonly pid: number }
}
const firstLineOf = async (child: ChildProcess): Promise<string> => String((await once(child.stdout ?? child, 'data'))[0]).trim()
const until = async (holds: () => boolean): Promise<void> => {
  for (let turn = 0; turn < 500 && !holds(); turn++) await new Promise(resolve => setTimeout(resolve, 10))
  expect(holds()).toBe(true)
}
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
})

const needsLinux = requires(process.platform === 'linux', 'needs /proc')
const needsAnotherUser = requires(process.platform === 'linux' && process.getuid?.() === 0, 'needs root, to act as another user')

describe('names of this machine', () => {
  needsLinux.it('come from the kernel', () => {
    expect(bootId()).toBe(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
    expect(pidNamespace()).toMatch(/^[0-9]+$/)
    expect(timeNamespace()).toMatch(/^([0-9]+|none)$/)
    expect(hostname()).toBe(execFileSync('uname', ['-n'], { encoding: 'utf8' }).trim())
  })
})

describe('vitality', () => {
  it('is alive for ourselves and for a child, and dead once the child is gone', async () => {
    const child = start('sleep', ['60'])
    const witness = witnessOf(child.pid)
    const own = witnessOf(process.pid)
    if (witness === null || own === null) throw new Error('no witness')
    expect(own).toMatchObject({ pid: process.pid, host: hostname(), bootId: bootId(), pidNs: pidNamespace(), timeNs: timeNamespace() })
    expect([vitality(own), vitality(witness)]).toEqual(['alive', 'alive'])
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(vitality(witness)).toBe('dead')
    expect(witnessOf(child.pid)).toBe(null)
  })

  it('is alive for a stopped process', async () => {
    const child = start('sleep', ['60'])
    const witness = witnessOf(child.pid)
    child.kill('SIGSTOP')
    await until(() => processState(child.pid) === 'T')
    expect(witness && vitality(witness)).toBe('alive')
    child.kill('SIGKILL')
  })

  it('is dead for a pid that another process has now', () => {
    const own = witnessOf(process.pid)
    expect(own && vitality({ ...own, pidStartTicks: own.pidStartTicks - 1 })).toBe('dead')
  })

  needsLinux.it('is dead for a zombie, but not for a main thread that ended before the others', async () => {
    const parent = start('python3', [
      '-c',
      `import os, sys, time
child = os.fork()
if child == 0:
    sys.stdin.readline(); os._exit(0)
print(child, flush=True); time.sleep(60)`,
    ])
    const zombie = Number(await firstLineOf(parent))
    const witness = witnessOf(zombie)
    expect(witness && vitality(witness)).toBe('alive')
    parent.stdin?.write('\n')
    await until(() => processState(zombie) === 'Z')
    expect(witness && vitality(witness)).toBe('dead')
    expect(witnessOf(zombie)).toBe(null)

    const threaded = start('python3', [
      '-c',
      `import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(60)).start()
print('up', flush=True); ctypes.CDLL(None).pthread_exit(None)`,
    ])
    await firstLineOf(threaded)
    await until(() => processState(threaded.pid) === 'Z')
    const still = witnessOf(threaded.pid)
    expect(still && vitality(still)).toBe('alive')
    // Its threads may still have the environment, but nobody can read it.
    expect(environmentHolder('LEASEHOLD_SESSION_ID', 'x')).toBe('unknown')
    threaded.kill('SIGKILL')
    await once(threaded, 'exit')
  })

  it('is unknown where boot or namespaces differ, however dead the pid looks', () => {
    const own = witnessOf(process.pid)
    if (own === null) throw new Error('no witness')
    const gone = { ...own, pid: 2 ** 22 + 1 }
    expect(vitality(gone)).toBe('dead')
    for (const other of [{ bootId: 'another' }, { pidNs: '1' }, { timeNs: '1' }, { bootId: 'another', host: own.host }]) {
      expect(vitality({ ...gone, ...other })).toBe('unknown')
    }
  })
})

describe('processes', () => {
  needsLinux.it('are told apart by start even when their name holds blanks and parentheses', async () => {
    const child = start('python3', [
      '-c',
      `import time; open('/proc/self/comm','w').write('a) Z 9 ('); print('up', flush=True); time.sleep(60)`,
    ])
    await firstLineOf(child)
    expect(processState(child.pid)).toMatch(/[SR]/)
    expect(processStartTicks(child.pid)).toBe(
      Number(execFileSync('sh', ['-c', `sed 's/.*) //' /proc/${child.pid}/stat | cut -d' ' -f20`], { encoding: 'utf8' })),
    )
    expect(processStartTicks(2 ** 22 + 1)).toBe(null)
    expect(processStartTicks(-1)).toBe(null)
  })

  it('list their ancestors, the parent first', async () => {
    const child = start('sh', ['-c', 'sleep 60 & echo $!; wait'])
    const grandchild = Number(await firstLineOf(child))
    const [parent, above] = ancestors(grandchild)
    expect(parent).toMatchObject({ pid: child.pid, comm: 'sh', startTicks: processStartTicks(child.pid) })
    expect(parent?.cmdline).toEqual(['sh', '-c', 'sleep 60 & echo $!; wait'])
    expect(above?.pid).toBe(process.pid)
    expect(sameUser(grandchild)).toBe(true)
    process.kill(grandchild)
    expect(ancestors(2 ** 22 + 1)).toEqual([])
  })

  needsLinux.it('carry a variable, as long as one of them lives', async () => {
    const value = `v-${process.pid}-${process.hrtime.bigint()}`
    // Another test's process may just be ending, and be unreadable for that moment.
    await until(() => environmentHolder('LEASEHOLD_SESSION_ID', value) === 'absent')
    // The child outlives the process that was given the variable, as an agent's background shell does.
    const child = start('sh', ['-c', 'sleep 60 >/dev/null & echo $!'], { LEASEHOLD_SESSION_ID: value })
    const orphan = Number(await firstLineOf(child))
    await until(() => child.exitCode !== null)
    expect(environmentHolder('LEASEHOLD_SESSION_ID', value)).toBe('present')
    expect(environmentHolder('LEASEHOLD_SESSION_ID', value.slice(0, -1))).not.toBe('present')
    expect(environmentHolder('SESSION_ID', value)).not.toBe('present')
    // A readable process counts whatever its age.
    expect(environmentHolder('LEASEHOLD_SESSION_ID', value, Number.MAX_SAFE_INTEGER)).toBe('present')
    process.kill(orphan, 'SIGKILL')
    await until(() => environmentHolder('LEASEHOLD_SESSION_ID', value) === 'absent')
  })

  needsAnotherUser.it('count as unknown when one of ours that is young enough cannot be read', async () => {
    const own = [process.geteuid?.(), 65_534] as const
    // prctl(PR_SET_DUMPABLE, 0) hides the environment from everybody but root, as ssh-agent and the like do.
    const child = start('python3', [
      '-c',
      `import ctypes, os, time
os.setgid(65534); os.setuid(65534); ctypes.CDLL(None).prctl(4, 0); print('up', flush=True); time.sleep(60)`,
    ])
    await firstLineOf(child)
    const started = processStartTicks(child.pid) ?? 0
    process.seteuid?.(own[1])
    try {
      expect(environmentHolder('LEASEHOLD_SESSION_ID', 'x', started)).toBe('unknown')
      // Older than the agent, so none of its children.
      await until(() => environmentHolder('LEASEHOLD_SESSION_ID', 'x', started + 1) === 'absent')
    } finally {
      process.seteuid?.(own[0] ?? 0)
    }
    child.kill('SIGKILL')
  })
})

const needsNamespaces = requires(canUnshare(), 'needs root and `unshare`, for a pid namespace of its own')

function canUnshare(): boolean {
  try {
    execFileSync('unshare', ['--pid', '--fork', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

needsNamespaces.describe('another pid namespace', () => {
  const script = `import(process.argv[1]).then(p => {
    const own = JSON.parse(process.argv[2])
    console.log(JSON.stringify({ vitality: p.vitality({ ...own, pid: 4194305 }), ns: p.pidNamespace(), holder: p.environmentHolder('A', 'b'), own: p.witnessOf(process.pid) }))
  })`
  const bundled = execFileSync(
    'npx',
    ['esbuild', 'src/host/process.ts', '--bundle', '--platform=node', '--format=esm', '--log-level=error'],
    { encoding: 'utf8' },
  )
  const module = `data:text/javascript;base64,${Buffer.from(bundled).toString('base64')}`
  const inside = (...unshare: string[]): { vitality: string; ns: string; holder: string; own: unknown } =>
    JSON.parse(
      execFileSync(
        'unshare',
        [...unshare, '--pid', '--fork', process.execPath, '-e', script, module, JSON.stringify(witnessOf(process.pid))],
        { encoding: 'utf8' },
      ),
    ) as never

  it('proves nothing about a process outside it', () => {
    const seen = inside('--mount-proc')
    expect(seen).toMatchObject({ vitality: 'unknown', own: { pidNs: seen.ns } })
    expect(seen.ns).not.toBe(pidNamespace())
  })

  it('is not misled by a /proc of the outer one', () => {
    expect(inside()).toMatchObject({ vitality: 'unknown', holder: 'unknown', own: null })
  })
})
