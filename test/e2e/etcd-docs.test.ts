import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'
import { folder } from '../support/cli.ts'
import { freePort, isEtcdInstalled, isInstalled } from '../support/etcd.ts'
import { Janitor } from '../support/janitor.ts'
import { lhIn } from '../support/shell.ts'
import { requires } from '../support/skip.ts'

// docs/etcd.md is run as it stands: the blocks that are marked `run`, in their order, in one shell. Only the ports are others.

const document = readFileSync(path.join(import.meta.dirname, '../../docs/etcd.md'), 'utf8')

requires(
  isEtcdInstalled && isInstalled('etcdctl', 'version') && isInstalled('openssl', 'version'),
  'needs etcd, etcdctl and openssl on PATH (Debian: etcd-server etcd-client openssl)',
).it(
  'docs/etcd.md: three nodes with TLS and a small role, a move, a backup, and a restore after which tokens grow',
  async () => {
    const place = folder('etcd-docs-')
    const janitor = new Janitor()
    // The nodes are children of the shell; when that is killed they are nobody's.
    janitor.later(`for p in /proc/[0-9]*; do grep -qaF '${place}/n' $p/cmdline && kill -9 \${p#/proc/}; done`)
    try {
      let blocks = [...document.matchAll(/^```sh run\n([^]*?)^```$/gm)].map(([, commands = '']) => commands)
      expect(blocks.length).toBeGreaterThan(6)
      for (const port of new Set(document.match(/\b32[345][78][09]\b/g))) {
        const free = await freePort()
        blocks = blocks.map(commands => commands.replaceAll(port, String(free)))
      }
      const bin = path.join(place, 'bin')
      lhIn(bin)
      const script = blocks.map((commands, number) => `echo "=== ${number}"\n${commands}`).join('')
      const { status, stdout } = spawnSync('bash', ['-euo', 'pipefail', '-c', `exec 2>&1\n${script}`], {
        cwd: place,
        env: {
          ...process.env,
          PATH: `${bin}:${process.env['PATH']}`,
          LEASEHOLD_AGENT_ID: 'agent:ann',
          XDG_CONFIG_HOME: path.join(place, 'xdg'),
        },
        encoding: 'utf8',
        timeout: 100_000,
      })
      expect(status, stdout).toBe(0)
      const last = stdout.split(/^=== \d+$/m).at(-1)!
      expect(stdout).toContain('1 record and 1 live lease were moved')
      expect(stdout).toContain('3 of 3 members answer')
      expect(stdout).toContain('0 errors')
      expect(last).toContain('ticket:fix-login')
      expect(last).not.toContain('after-the-backup')
      expect(Number(/after-the-restore {2}token (\d+)/.exec(last)?.[1])).toBeGreaterThan(1_000_000_000)
    } finally {
      await janitor.close()
    }
  },
  120_000,
)
