import { constants, fstatSync, openSync, readSync } from 'node:fs'
import { elapsedMs } from '../../service/session-lock/moment.ts'

// Standard input until a deadline. A blocking read could not be given up: also `process.exit` waits for a thread that is in one. Streams
// could, and loading them costs a tool call 3 ms.

/** Longer payloads are none. Bytes. */
const maxBytes = 64 * 1024 * 1024

/** The JSON that is sent; its end need not be waited for. Throws when there is none by `deadline`, as `elapsedMs` counts. */
export function readInput(deadline: number): unknown {
  const fd = openInput()
  let bytes = Buffer.allocUnsafe(65_536)
  let length = 0
  for (let nap = 0.2; ;) {
    const got = readSome(fd, bytes, length)
    if (got === null) {
      if (elapsedMs() + nap > deadline) throw new Error(`the client had not sent its payload after ${Math.round(deadline)} ms`)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, nap)
      nap = Math.min(nap * 1.5, 10)
      continue
    }
    length += got
    // What is whole is the payload: a client may forget to close the pipe.
    const value = got === 0 || endsObject(bytes, length) ? parsed(bytes, length) : undefined
    if (value !== undefined) return value
    if (got === 0) throw new Error('the payload is no JSON')
    if (length > maxBytes) throw new Error('the payload is too large')
    if (length === bytes.length) bytes = Buffer.concat([bytes], length * 2)
  }
}

/** Null: nothing is there yet. */
function readSome(fd: number, bytes: Buffer, at: number): number | null {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return readSync(fd, bytes, at, bytes.length - at, null)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EAGAIN') return null
    if (code === 'EOF') return 0
    throw error
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** A descriptor of standard input that does not block. */
function openInput(): number {
  const stats = fstatSync(0)
  if (stats.isFile()) return 0
  if (!stats.isSocket()) {
    try {
      // The same pipe or terminal, opened anew: whoever shares standard input with us keeps it as it is.
      return openSync('/proc/self/fd/0', constants.O_RDONLY | constants.O_NONBLOCK)
    } catch {
      // No /proc.
    }
    if (stats.isCharacterDevice()) return 0
  }
  unblock()
  return 0
}

interface PipeBinding {
  readonly Pipe: new (type: number) => { open(fd: number): number }
  readonly constants: { readonly SOCKET: number }
}

/** Node has no call for this; opening a handle on the descriptor does it. Where that is gone, a read may take as long as the client likes. */
function unblock(): void {
  try {
    const { binding } = process as unknown as { binding?: (name: string) => PipeBinding }
    if (binding === undefined) return
    const { Pipe, constants: kinds } = binding.call(process, 'pipe_wrap')
    handle = new Pipe(kinds.SOCKET)
    handle.open(0)
  } catch {
    // Then it blocks, and the client's own time-out ends it.
  }
}

/** Kept, so that nobody closes the descriptor while we read. */
let handle: InstanceType<PipeBinding['Pipe']> | undefined

/** Text that is cut anywhere rarely ends like an object; then the rest is waited for. */
function endsObject(bytes: Buffer, length: number): boolean {
  let at = length - 1
  while (at >= 0 && bytes[at]! <= 0x20) at--
  return bytes[at] === 0x7d
}

function parsed(bytes: Buffer, length: number): unknown {
  try {
    return JSON.parse(bytes.toString('utf8', 0, length))
  } catch {
    return undefined
  }
}
