import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { describe, expect } from 'vitest'
import { exits, folder, git, Repo } from '../support/cli.ts'
import { requires } from '../support/skip.ts'
import { commit } from '../support/tickets.ts'
import { branches, contentOf, known, leftovers, restored, salvages } from '../support/worktrees.ts'

// Disks that are full for the files of a new worktree, and for what is to be saved.

const mounts = (): boolean => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'leasehold-mount-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', place], { stdio: 'ignore' })
    execFileSync('umount', [place], { stdio: 'ignore' })
    return true
  } catch {
    return false
  } finally {
    fs.rmSync(place, { recursive: true, force: true })
  }
}

const smallDisk = requires(process.platform === 'linux' && mounts(), 'needs root and the right to mount a tmpfs')

async function onSmallDisk(size: string, work: (disk: string) => Promise<void>): Promise<void> {
  const disk = folder('disk-')
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', disk])
  try {
    await work(disk)
  } finally {
    execFileSync('umount', ['--lazy', disk])
  }
}

/** Bytes that no Git makes smaller. */
const noise = (bytes: number): Buffer =>
  Buffer.from(Array.from({ length: bytes }, (_, at) => (Math.imul(at + 7, 2_654_435_761) >>> ((at % 3) * 8)) & 255))

describe('a disk that is full', () => {
  smallDisk.it('for the files of a new worktree leaves nothing of it', () =>
    onSmallDisk('256k', async disk => {
      const dir = path.join(folder('room-'), 'app')
      fs.mkdirSync(dir)
      git(dir, 'init', '-q', '-b', 'main')
      fs.writeFileSync(path.join(dir, 'big'), noise(400_000))
      commit(dir)
      const a = new Repo(dir).as('agent:a')
      const error = await a.refused('unavailable', 'worktree add spike --path', path.join(disk, 'new', 'spike'))
      expect(error).toMatchObject({ message: expect.stringContaining('unable to write file big'), details: { outcome: 'nothing_changed' } })
      expect(fs.readdirSync(disk)).toEqual([])
      expect(branches(dir)).toEqual(['main'])
      expect(known(dir)).toEqual([])
      expect(leftovers(dir)).toEqual([])
    }),
  )

  smallDisk.it('for what is to be saved removes nothing; with room again the same command does', () =>
    onSmallDisk('4m', async disk => {
      const dir = path.join(disk, 'app')
      fs.mkdirSync(dir)
      git(dir, 'init', '-q', '-b', 'main')
      commit(dir)
      const repo = new Repo(dir)
      repo.busy = true
      const a = repo.as('agent:a')
      const place = path.join(folder('elsewhere-'), 'spike')
      await a.ok('worktree add spike --path', place)
      fs.writeFileSync(path.join(place, 'big'), noise(3_000_000))
      const before = contentOf(place)
      const filler = path.join(disk, 'filler')
      fs.writeFileSync(filler, noise(2_000_000))
      const result = await a.run('--json worktree remove spike --salvage')
      expect(result.code, result.stdout).toBe(exits.unavailable)
      expect(contentOf(place)).toEqual(before)
      expect(known(dir)).toEqual(['spike'])
      expect(salvages(dir)).toEqual([])
      fs.rmSync(filler)
      const { worktree } = await a.ok('worktree remove spike --salvage')
      expect(restored(dir, worktree.salvage)).toEqual(before)
      expect(fs.existsSync(place)).toBe(false)
      expect(leftovers(dir)).toEqual([])
    }),
  )
})
