import fs from 'node:fs'
import path from 'node:path'
import type { Instant } from '../../src/core/lease.ts'
import type { Clock } from '../../src/host/clock.ts'
import type { Disk } from '../../src/host/disk.ts'
import type { KernelLock } from '../../src/host/kernel-lock.ts'

// A disk that can lose power. What was not synced survives or not: each 64-byte sector for itself, with any content it had since the
// last sync; the size of a file anywhere between the sizes it had; operations on names in any subset. That is weaker than what ext4
// does, and about what POSIX promises.

const sectorBytes = 64

/** Repeatable chance: mulberry32. */
export type Chance = () => number

export function chanceOf(seed: number): Chance {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export const oneOf = <T>(chance: Chance, list: readonly T[]): T => list[Math.floor(chance() * list.length)]!

/** Thrown into a process that was killed; whatever it tries afterwards has no effect. */
export class Killed extends Error {
  override readonly name = 'Killed'
}

export function failure(code: string, syscall: string, file: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated, ${syscall} '${file}'`), { code, syscall, path: file })
}

/** Which of several unsynced things survive; extremes come up often, since most mistakes show there. */
function survivors(chance: Chance, count: number): (index: number) => boolean {
  switch (Math.floor(chance() * 6)) {
    case 0:
      return () => true
    case 1:
      return () => false
    case 2: {
      const lost = Math.floor(chance() * count)
      return index => index !== lost
    }
    case 3: {
      const kept = Math.floor(chance() * count)
      return index => index === kept
    }
    case 4: {
      const upTo = Math.floor(chance() * (count + 1))
      return index => index < upTo
    }
    default:
      return () => chance() < 0.5
  }
}

interface Version {
  readonly epoch: number
  readonly bytes: Buffer
}

class FileNode {
  readonly kind = 'file'
  readonly ino: number
  mode: number
  uid = process.geteuid?.() ?? 0
  now: Buffer = Buffer.alloc(0)
  safe: Buffer = Buffer.alloc(0)
  /** Unsynced contents that a sector had, oldest first. */
  readonly pending = new Map<number, Version[]>()
  sizes: { readonly epoch: number; readonly size: number }[] = []
  #epoch = 0
  #synced = 0
  /** A failed sync: the kernel took the pages for clean, so later syncs write nothing of what was dirty then. */
  lost = false

  constructor(ino: number, mode: number) {
    this.ino = ino
    this.mode = mode
  }

  write(bytes: Uint8Array, at: number): void {
    const end = Math.max(this.now.length, at + bytes.length)
    const next = Buffer.alloc(end)
    this.now.copy(next)
    next.set(bytes, at)
    this.now = next
    this.#dirty(at, at + bytes.length)
  }

  truncate(size: number): void {
    const before = this.now.length
    const next = Buffer.alloc(size)
    this.now.copy(next)
    this.now = next
    this.#dirty(Math.min(before, size), Math.max(before, size))
  }

  #dirty(from: number, to: number): void {
    const epoch = ++this.#epoch
    for (let sector = Math.floor(from / sectorBytes); sector * sectorBytes < to; sector++) {
      const bytes = Buffer.alloc(sectorBytes)
      if (sector * sectorBytes < this.now.length) this.now.copy(bytes, 0, sector * sectorBytes, (sector + 1) * sectorBytes)
      const list = this.pending.get(sector) ?? []
      list.push({ epoch, bytes })
      this.pending.set(sector, list)
    }
    this.sizes.push({ epoch, size: this.now.length })
  }

  /** What a sync that begins now will have made durable when it is done; what is written meanwhile is not promised. */
  beginSync(): () => void {
    const { now } = this
    const epoch = this.#epoch
    return () => {
      if (this.lost || epoch < this.#synced) return
      this.#synced = epoch
      this.safe = now
      for (const [sector, list] of this.pending) {
        const later = list.filter(version => version.epoch > epoch)
        if (later.length > 0) this.pending.set(sector, later)
        else this.pending.delete(sector)
      }
      this.sizes = this.sizes.filter(each => each.epoch > epoch)
    }
  }

  /** The file after a power loss. */
  crashed(chance: Chance): FileNode {
    const node = new FileNode(this.ino, this.mode)
    node.uid = this.uid
    const sizes = [this.safe.length, ...this.sizes.map(({ size }) => size)]
    const low = Math.min(...sizes)
    const high = Math.max(...sizes)
    const size = chance() < 0.5 ? oneOf(chance, sizes) : low + Math.floor(chance() * (high - low + 1))
    const bytes = Buffer.alloc(size)
    this.safe.copy(bytes)
    const survives = survivors(chance, this.pending.size)
    let index = 0
    for (const [sector, versions] of this.pending) {
      if (!survives(index++)) continue
      const version = chance() < 0.8 ? versions.at(-1)! : oneOf(chance, versions)
      if (sector * sectorBytes < size)
        version.bytes.copy(bytes, sector * sectorBytes, 0, Math.min(sectorBytes, size - sector * sectorBytes))
    }
    node.now = bytes
    node.safe = bytes
    return node
  }
}

interface NameChange {
  readonly set?: readonly [string, number]
  readonly del?: string
}

class DirectoryNode {
  readonly kind = 'directory'
  readonly ino: number
  mode: number
  uid = process.geteuid?.() ?? 0
  readonly now = new Map<string, number>()
  safe = new Map<string, number>()
  pending: NameChange[] = []

  constructor(ino: number, mode: number) {
    this.ino = ino
    this.mode = mode
  }

  change(change: NameChange): void {
    apply(this.now, change)
    this.pending.push(change)
  }

  sync(): void {
    for (const change of this.pending) apply(this.safe, change)
    this.pending = []
  }

  crashed(chance: Chance): DirectoryNode {
    const node = new DirectoryNode(this.ino, this.mode)
    node.uid = this.uid
    const names = new Map(this.safe)
    const survives = survivors(chance, this.pending.length)
    for (const [index, change] of this.pending.entries()) if (survives(index)) apply(names, change)
    for (const [name, ino] of names) node.now.set(name, ino)
    node.safe = names
    return node
  }
}

function apply(names: Map<string, number>, { set, del }: NameChange): void {
  if (del !== undefined) names.delete(del)
  if (set !== undefined) names.set(set[0], set[1])
}

type Node = FileNode | DirectoryNode

interface OpenFile {
  readonly node: Node
  readonly flags: number
  readonly owner: SimProcess
  readonly path: string
}

interface PendingSync {
  readonly owner: SimProcess
  readonly ino: number
  /** Ends the sync: durable, or with an error. */
  readonly finish: (error: NodeJS.ErrnoException | null) => void
}

/** A call that changes something, before it does. */
export interface Step {
  readonly call: string
  readonly path: string
  readonly process: SimProcess
}

/** Simulated hardware. */
export class SimDisk {
  readonly nodes = new Map<number, Node>()
  readonly files = new Map<number, OpenFile>()
  readonly pendingSyncs: PendingSync[] = []
  /** Called before each step; the moment at which a power loss is worth looking at. */
  onStep: (step: Step) => void = () => undefined
  /** Syncs of a kind that this disk pretends to do; for broken variants. */
  ignoreSync: (file: string, process: SimProcess) => boolean = () => false
  /** Chance of a write that takes less than it was given. */
  shortWrites = 0
  chance: Chance
  steps = 0
  #nextInode = 100
  #nextFd = 1000

  constructor(seed: number) {
    this.chance = chanceOf(seed)
    const root = new DirectoryNode(1, 0o755)
    this.nodes.set(1, root)
  }

  /** A directory that has always been there. */
  plant(directory: string): void {
    let parent = this.nodes.get(1) as DirectoryNode
    for (const name of directory.split('/').filter(Boolean)) {
      let ino = parent.now.get(name)
      if (ino === undefined) {
        ino = this.#nextInode++
        this.nodes.set(ino, new DirectoryNode(ino, 0o700))
        parent.now.set(name, ino)
        parent.safe.set(name, ino)
      }
      parent = this.nodes.get(ino) as DirectoryNode
    }
  }

  /** What is left after a power loss now. The original goes on. */
  crash(chance: Chance): SimDisk {
    const disk = new SimDisk(0)
    disk.chance = chance
    disk.#nextInode = this.#nextInode
    const reach = (ino: number): void => {
      if (disk.nodes.has(ino) && ino !== 1) return
      const node = this.nodes.get(ino)!.crashed(chance)
      disk.nodes.set(ino, node)
      if (node.kind === 'directory') for (const child of node.now.values()) reach(child)
    }
    reach(1)
    return disk
  }

  /** Content of a file as programs see it, null when there is none. */
  content(file: string): Buffer | null {
    const node = this.find(file)
    return node?.kind === 'file' ? node.now : null
  }

  /** Sets a file's content, durably, beside all rules: damage. */
  overwrite(file: string, bytes: Uint8Array): void {
    let node = this.find(file)
    if (node === null) {
      const directory = this.find(path.dirname(file)) as DirectoryNode
      const ino = this.#nextInode++
      node = new FileNode(ino, 0o600)
      this.nodes.set(ino, node)
      directory.change({ set: [path.basename(file), ino] })
    }
    const target = node as FileNode
    target.now = Buffer.from(bytes)
    target.safe = target.now
    target.pending.clear()
    target.sizes = []
  }

  remove(file: string): void {
    const directory = this.find(path.dirname(file)) as DirectoryNode
    directory.change({ del: path.basename(file) })
    directory.sync()
  }

  names(directory: string): readonly string[] {
    const node = this.find(directory)
    return node?.kind === 'directory' ? [...node.now.keys()].toSorted() : []
  }

  /** Every file below a directory and its content; to compare a disk with itself. */
  picture(directory: string): string {
    const lines: string[] = []
    const visit = (place: string): void => {
      for (const name of this.names(place)) {
        const file = `${place}/${name}`
        const content = this.content(file)
        if (content === null) visit(file)
        lines.push(`${file}\t${content?.toString('latin1') ?? 'directory'}`)
      }
    }
    visit(directory)
    return lines.join('\n')
  }

  find(file: string): Node | null {
    let node: Node = this.nodes.get(1)!
    for (const name of file.split('/').filter(Boolean)) {
      const ino: number | undefined = node.kind === 'directory' ? node.now.get(name) : undefined
      if (ino === undefined) return null
      node = this.nodes.get(ino)!
    }
    return node
  }

  make(kind: 'file' | 'directory', mode: number): Node {
    const ino = this.#nextInode++
    const node = kind === 'file' ? new FileNode(ino, mode) : new DirectoryNode(ino, mode)
    this.nodes.set(ino, node)
    return node
  }

  open(node: Node, flags: number, owner: SimProcess, file: string): number {
    const fd = this.#nextFd++
    this.files.set(fd, { node, flags, owner, path: file })
    return fd
  }

  /** A sync failed: the kernel takes the dirty pages for clean, and tells everybody who had the file open. */
  loseDirty(node: Node): void {
    if (node.kind !== 'file' || node.lost) return
    node.lost = true
    // Killed between the error and the mark that it leaves: the one window that the fault model admits.
    for (const { owner } of this.files.values()) owner.killAfter = Number.POSITIVE_INFINITY
    for (const sync of this.pendingSyncs.filter(({ ino }) => ino === node.ino)) sync.finish(failure('EIO', 'fdatasync', 'simulated'))
  }

  process(lock: SimLock | null = null): SimProcess {
    return new SimProcess(this, lock)
  }
}

/** What a test can make go wrong in one process. */
export interface Trouble {
  /** Name of the call (`writeSync`, `fdatasync`, …), or `*`. */
  readonly call: string
  /** Only on paths that contain this. */
  readonly path?: string
  /** Let this many matching calls through first. */
  readonly after?: number
  /** How many calls fail; for ever when absent. */
  readonly times?: number
  readonly code: string
  /** Bytes that a failing write still takes in its first, short call. */
  readonly bytes?: number
}

const { O_CREAT, O_EXCL, O_APPEND, O_TRUNC, O_ACCMODE = 3 } = fs.constants as typeof fs.constants & { O_ACCMODE?: number }

/** One process on a simulated disk: the `Disk` that its store is given. */
export class SimProcess implements Disk {
  readonly sim: SimDisk
  readonly lock: SimLock | null
  dead = false
  /** Dies just before its n-th step from now. */
  killAfter = Number.POSITIVE_INFINITY
  readonly #troubles: { trouble: Trouble; seen: number; failed: number }[] = []

  constructor(sim: SimDisk, lock: SimLock | null) {
    this.sim = sim
    this.lock = lock
  }

  fail(trouble: Trouble): void {
    this.#troubles.push({ trouble, seen: 0, failed: 0 })
  }

  /** This process with some of its calls replaced. */
  with(calls: Partial<Disk>): Disk {
    return Object.assign(Object.create(this) as Disk, calls)
  }

  /** Was there no call for this trouble to strike? */
  untouched(trouble: Trouble): boolean {
    return this.#troubles.every(each => each.trouble !== trouble || each.failed === 0)
  }

  heal(): void {
    this.#troubles.length = 0
  }

  /** SIGKILL: the kernel closes its files and frees its locks, nothing else happens. */
  kill(): void {
    if (this.dead) return
    this.dead = true
    for (const [fd, file] of this.sim.files) if (file.owner === this) this.#close(fd)
    const own = this.sim.pendingSyncs.filter(({ owner }) => owner === this)
    for (const sync of own) sync.finish(failure('EKILLED', 'fdatasync', ''))
  }

  openSync = ((file: string, flags: string | number, mode = 0o666): number => {
    this.#alive()
    const bits = typeof flags === 'number' ? flags : 0
    const present = this.sim.find(file)
    if (present === null) {
      if ((bits & O_CREAT) === 0) throw failure('ENOENT', 'open', file)
      const directory = this.sim.find(path.dirname(file))
      if (directory?.kind !== 'directory') throw failure('ENOENT', 'open', file)
      this.#step('openSync', file)
      const node = this.sim.make('file', Number(mode))
      directory.change({ set: [path.basename(file), node.ino] })
      return this.sim.open(node, bits, this, file)
    }
    this.#trouble('openSync', file)
    if ((bits & O_EXCL) !== 0 && (bits & O_CREAT) !== 0) throw failure('EEXIST', 'open', file)
    if (present.kind === 'directory' && (bits & O_ACCMODE) !== 0) throw failure('EISDIR', 'open', file)
    if (present.kind === 'file' && (bits & O_TRUNC) !== 0) present.truncate(0)
    return this.sim.open(present, bits, this, file)
  }) as Disk['openSync']

  closeSync = ((fd: number): void => {
    if (this.dead) return
    this.#file(fd, 'close')
    this.#close(fd)
  }) as Disk['closeSync']

  readSync = ((fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number => {
    const { node, path: file } = this.#file(fd, 'read')
    this.#trouble('readSync', file)
    if (node.kind !== 'file') throw failure('EISDIR', 'read', file)
    const chunk = node.now.subarray(position, position + length)
    buffer.set(chunk, offset)
    return chunk.length
  }) as Disk['readSync']

  writeSync = ((fd: number, bytes: Uint8Array, from?: number, wanted?: number, position: number | null = null): number => {
    const offset = from ?? 0
    const length = wanted ?? bytes.length - offset
    const { node, flags, path: file } = this.#file(fd, 'write')
    if (node.kind !== 'file') throw failure('EISDIR', 'write', file)
    const partly = this.#step('writeSync', file)
    let count = length
    if (partly !== null) count = Math.min(length, partly)
    else if (length > 1 && this.sim.chance() < this.sim.shortWrites) count = 1 + Math.floor(this.sim.chance() * (length - 1))
    const at = (flags & O_APPEND) !== 0 || position === null ? node.now.length : position
    node.write(bytes.subarray(offset, offset + count), at)
    return count
  }) as unknown as Disk['writeSync']

  fstatSync = ((fd: number) => statOf(this.#file(fd, 'fstat').node)) as Disk['fstatSync']

  lstatSync = ((file: string, options?: { readonly throwIfNoEntry?: boolean }) => {
    this.#alive()
    this.#trouble('lstatSync', file)
    const node = this.sim.find(file)
    if (node !== null) return statOf(node)
    if (options?.throwIfNoEntry === false) return undefined
    throw failure('ENOENT', 'lstat', file)
  }) as Disk['lstatSync']

  ftruncateSync = ((fd: number, size = 0): void => {
    const { node, path: file } = this.#file(fd, 'ftruncate')
    this.#step('ftruncateSync', file)
    if (node.kind === 'file') node.truncate(size ?? 0)
  }) as Disk['ftruncateSync']

  fdatasyncSync = ((fd: number): void => this.#sync('fdatasync', fd)) as Disk['fdatasyncSync']

  fsyncSync = ((fd: number): void => this.#sync('fsync', fd)) as Disk['fsyncSync']

  fdatasync = ((fd: number, done: (error: NodeJS.ErrnoException | null) => void): void => {
    const { node, path: file } = this.#file(fd, 'fdatasync')
    this.#step('fdatasync', file)
    const complete = node.kind === 'file' ? node.beginSync() : () => undefined
    const sync: PendingSync = {
      owner: this,
      ino: node.ino,
      finish: error => {
        this.sim.pendingSyncs.splice(this.sim.pendingSyncs.indexOf(sync), 1)
        if (error === null && !this.sim.ignoreSync(file, this)) complete()
        if (error?.code === 'EIO') this.sim.loseDirty(node)
        done(error)
      },
    }
    this.sim.pendingSyncs.push(sync)
  }) as Disk['fdatasync']

  renameSync = ((from: string, to: string): void => {
    this.#step('renameSync', to)
    const { directory, node } = this.#entry(from, 'rename')
    if (path.dirname(from) !== path.dirname(to)) throw failure('EXDEV', 'rename', to)
    directory.change({ del: path.basename(from), set: [path.basename(to), node.ino] })
  }) as Disk['renameSync']

  linkSync = ((from: string, to: string): void => {
    this.#step('linkSync', to)
    const { node } = this.#entry(from, 'link')
    const directory = this.sim.find(path.dirname(to))
    if (directory?.kind !== 'directory') throw failure('ENOENT', 'link', to)
    if (directory.now.has(path.basename(to))) throw failure('EEXIST', 'link', to)
    directory.change({ set: [path.basename(to), node.ino] })
  }) as Disk['linkSync']

  unlinkSync = ((file: string): void => {
    this.#alive()
    const { directory } = this.#entry(file, 'unlink')
    this.#step('unlinkSync', file)
    directory.change({ del: path.basename(file) })
  }) as Disk['unlinkSync']

  mkdirSync = ((directory: string, options?: { readonly mode?: number }): void => {
    this.#alive()
    if (this.sim.find(directory) !== null) throw failure('EEXIST', 'mkdir', directory)
    const parent = this.sim.find(path.dirname(directory))
    if (parent?.kind !== 'directory') throw failure('ENOENT', 'mkdir', directory)
    this.#step('mkdirSync', directory)
    parent.change({ set: [path.basename(directory), this.sim.make('directory', options?.mode ?? 0o777).ino] })
  }) as unknown as Disk['mkdirSync']

  readdirSync = ((directory: string): string[] => {
    this.#alive()
    const node = this.sim.find(directory)
    if (node?.kind !== 'directory') throw failure('ENOENT', 'readdir', directory)
    return [...node.now.keys()].toSorted()
  }) as unknown as Disk['readdirSync']

  fchmodSync = ((fd: number, mode: number): void => {
    this.#file(fd, 'fchmod').node.mode = mode
  }) as Disk['fchmodSync']

  fchownSync = ((): void => {}) as Disk['fchownSync']

  #sync(call: string, fd: number): void {
    const { node, path: file } = this.#file(fd, call)
    try {
      this.#step(call, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EIO') this.sim.loseDirty(node)
      throw error
    }
    if (this.sim.ignoreSync(file, this)) return
    if (node.kind === 'directory') node.sync()
    else node.beginSync()()
  }

  #alive(): void {
    if (this.dead) throw new Killed('this process was killed')
  }

  #file(fd: number, call: string): OpenFile {
    this.#alive()
    const file = this.sim.files.get(fd)
    if (file === undefined || file.owner !== this) throw failure('EBADF', call, String(fd))
    return file
  }

  #close(fd: number): void {
    this.sim.files.delete(fd)
    this.lock?.closed(fd)
  }

  #entry(file: string, call: string): { readonly directory: DirectoryNode; readonly node: Node } {
    const directory = this.sim.find(path.dirname(file))
    const node = this.sim.find(file)
    if (directory?.kind !== 'directory' || node === null) throw failure('ENOENT', call, file)
    return { directory, node }
  }

  /** A call that changes something. Returns how many bytes a write may still take when it is the first half of a failing one. */
  #step(call: string, file: string): number | null {
    this.#alive()
    if (--this.killAfter < 0) {
      this.kill()
      throw new Killed('this process was killed')
    }
    this.sim.steps++
    this.sim.onStep({ call, path: file, process: this })
    return this.#trouble(call, file)
  }

  #trouble(call: string, file: string): number | null {
    for (const each of this.#troubles) {
      const { trouble } = each
      if (trouble.call !== '*' && trouble.call !== call) continue
      if (trouble.path !== undefined && !file.includes(trouble.path)) continue
      if (each.seen++ < (trouble.after ?? 0)) continue
      if (each.failed >= (trouble.times ?? Number.POSITIVE_INFINITY)) continue
      each.failed++
      if (trouble.bytes !== undefined && each.failed === 1 && call === 'writeSync') return trouble.bytes
      throw failure(trouble.code, call, file)
    }
    return null
  }
}

function statOf(node: Node): fs.Stats {
  const size = node.kind === 'file' ? node.now.length : 0
  return {
    ino: node.ino,
    dev: 7,
    mode: node.mode,
    uid: node.uid,
    gid: process.getegid?.() ?? 0,
    size,
    mtimeMs: 0,
    isFile: () => node.kind === 'file',
    isDirectory: () => node.kind === 'directory',
    isSymbolicLink: () => false,
  } as fs.Stats
}

/** The kernel's locks on a simulated disk: they belong to open files and end with them. */
export class SimLock implements KernelLock {
  readonly #sim: SimDisk
  readonly #holders = new Map<number, number>()
  #waiting: { readonly fd: number; readonly ino: number; readonly resolve: () => void; readonly reject: (error: Error) => void }[] = []

  constructor(sim: SimDisk) {
    this.#sim = sim
  }

  tryExclusive(fd: number): boolean {
    const ino = this.#inode(fd)
    const holder = this.#holders.get(ino)
    if (holder !== undefined && holder !== fd) return false
    this.#holders.set(ino, fd)
    return true
  }

  tryShared(fd: number): boolean {
    return !this.#holders.has(this.#inode(fd))
  }

  waitExclusive(fd: number): Promise<void> {
    if (this.tryExclusive(fd)) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiting.push({ fd, ino: this.#inode(fd), resolve, reject }))
  }

  unlock(fd: number): void {
    const file = this.#sim.files.get(fd)
    if (file !== undefined) this.#free(file.node.ino, fd)
  }

  /** Does this process hold the lock of any file? */
  isHeldBy(process: SimProcess): boolean {
    for (const fd of this.#holders.values()) if (this.#sim.files.get(fd)?.owner === process) return true
    return false
  }

  /** The kernel's part of closing a descriptor. */
  closed(fd: number): void {
    for (const waiting of this.#waiting) if (waiting.fd === fd) waiting.reject(new Killed('closed while waiting'))
    this.#waiting = this.#waiting.filter(waiting => waiting.fd !== fd)
    for (const [ino, holder] of this.#holders) if (holder === fd) this.#free(ino, fd)
  }

  #free(ino: number, fd: number): void {
    if (this.#holders.get(ino) !== fd) return
    this.#holders.delete(ino)
    const next = this.#waiting.findIndex(waiting => waiting.ino === ino)
    if (next < 0) return
    const [granted] = this.#waiting.splice(next, 1)
    this.#holders.set(ino, granted!.fd)
    granted!.resolve()
  }

  #inode(fd: number): number {
    const file = this.#sim.files.get(fd)
    if (file === undefined) throw failure('EBADF', 'lock', String(fd))
    return file.node.ino
  }
}

/** A lock that everybody gets: the broken variant. */
export const noLock: KernelLock = {
  tryExclusive: () => true,
  tryShared: () => true,
  waitExclusive: () => Promise.resolve(),
  unlock: () => undefined,
}

/** A clock in the test's hand: boot, time namespace, monotonic time and wall time move independently. */
export class SimClock implements Clock {
  boot = 'boot-1'
  timeNamespace = '4026531834'
  m: number
  wall: number

  constructor(m = 1000, wall = 1_760_000_000_000) {
    this.m = m
    this.wall = wall
  }

  now = (): Instant => ({ b: `${this.boot}.${this.timeNamespace}`, m: this.m, wall: this.wall })

  /** Time goes by: both clocks. */
  advance(ms: number): void {
    this.m += ms
    this.wall += ms
  }

  /** The machine was off for `ms` and counts anew. */
  reboot(offMs: number, boot = `${this.boot}+`): void {
    this.boot = boot
    this.m = 1000
    this.wall += offMs
  }
}
