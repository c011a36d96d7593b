import fs from 'node:fs'
import path from 'node:path'
import { Fault } from '../core/fault.ts'
import { below } from './paths.ts'

/**
 * Advisory locks that the kernel frees when the last descriptor of the open file is gone, so a crash can leave none behind.
 * They exclude descriptors, also two of one process. On Linux these are OFD locks: flock(1) does not see them.
 */
export interface KernelLock {
  /** Loads what the first lock would. Throws `unavailable` where there is no such thing. */
  load?(): void
  /** Takes the lock if it is free now; false when another descriptor has it. */
  tryExclusive(fd: number): boolean
  /** Would a shared lock be granted now? Used on read-only descriptors to ask whether somebody holds the exclusive one. */
  tryShared(fd: number): boolean
  /** Waits without limit; the caller races it with a deadline. Closing the descriptor does not cancel it. */
  waitExclusive(fd: number): Promise<void>
  unlock(fd: number): void
}

/** The addon's functions, called directly: its own index loads a resolver that costs a fresh process 20 ms. */
interface Addon {
  tryLock(fd: number, offset: number, length: number, exclusive: boolean): void
  waitForLock(
    fd: number,
    offset: number,
    length: number,
    exclusive: boolean,
    request: object,
    done: (this: Waiting, error: Error | null) => void,
  ): unknown
  unlock(fd: number, offset: number, length: number): void
  swapSync(one: string, other: string): void
}

interface Waiting {
  resolve(): void
  reject(error: Error): void
}

let addon: Addon | undefined

/** Loaded by the first lock: who only reads takes none, and the dynamic linker would cost a command that reads a tenth of its time. */
const loaded = (): Addon => (addon ??= loadAddon())

/** The kernel's locks through `fs-native-extensions`. Using them throws `unavailable` where it has no build for this platform. */
export const kernelLock = (): KernelLock => systemLock

/** Two files take each other's place in one step. False where that cannot be done; throws the system's own errors. */
export function exchangeFiles(one: string, other: string): boolean {
  try {
    loaded().swapSync(one, other)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EPERM' || code === 'EROFS') throw error
    return false
  }
}

function attempt(fd: number, exclusive: boolean): boolean {
  const { tryLock } = loaded()
  // The addon says "busy" with an error, and its stack would cost more than the question.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    tryLock(fd, 0, 0, exclusive)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EAGAIN' || code === 'EACCES') return false
    throw error
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const systemLock: KernelLock = {
  load: () => void loaded(),
  tryExclusive: fd => attempt(fd, true),
  tryShared: fd => attempt(fd, false),
  waitExclusive: fd =>
    new Promise((resolve, reject) => {
      const request = { handle: null as unknown, resolve, reject }
      request.handle = loaded().waitForLock(fd, 0, 0, true, request, function (error) {
        if (error === null || error === undefined) this.resolve()
        else this.reject(error)
      })
    }),
  unlock: fd => loaded().unlock(fd, 0, 0),
}

function loadAddon(): Addon {
  const platform = `${process.platform}-${process.arch}`
  const file = findAddon(platform)
  if (file === null) {
    throw new Fault('unavailable', `there is no file-lock module for ${platform}`, {
      hint: 'Leasehold runs on Linux with glibc (x64, arm64) and macOS; on Windows use WSL2, on musl a glibc image',
    })
  }
  const module = { exports: {} }
  try {
    process.dlopen(module, file)
  } catch (error) {
    throw new Fault('unavailable', `the file-lock module for ${platform} cannot be loaded: ${(error as Error).message}`, {
      hint: 'musl systems such as Alpine are not supported; use an image with glibc',
      cause: error,
    })
  }
  return module.exports as Addon
}

/** The bundle keeps a copy beside it; from source it lies in `node_modules`. */
function findAddon(platform: string): string | null {
  let directory = typeof __dirname === 'string' ? __dirname : import.meta.dirname
  for (let depth = 0; depth < 6; depth++) {
    for (const place of ['prebuilds', 'node_modules/fs-native-extensions/prebuilds']) {
      const file = below(directory, `${place}/${platform}/fs-native-extensions.node`)
      if (fs.existsSync(file)) return file
    }
    directory = path.dirname(directory)
  }
  return null
}
