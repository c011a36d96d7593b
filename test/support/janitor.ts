import { spawn } from 'node:child_process'

/**
 * Undoes what a test did to this machine, whatever becomes of the test: a shell of its own reads one command a line, and carries them out in
 * reverse order when its input ends, which the kernel sees to when the test is killed. Commands that fail are passed over.
 */
export class Janitor {
  readonly #shell = spawn('sh', ['-c', 'lines=$(tac); eval "$lines"'], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  readonly #ended = new Promise<void>(resolve => this.#shell.once('exit', () => resolve()))

  constructor() {
    // Nobody waits for it but `close`; a shell that is gone is noticed there.
    this.#shell.unref()
    this.#shell.stdin.on('error', () => undefined)
  }

  /** To be done at the end: one line of shell. */
  later(command: string): void {
    this.#shell.stdin.write(`${command}\n`)
  }

  /** Does it now. */
  close(): Promise<void> {
    this.#shell.stdin.end()
    return this.#ended
  }
}
