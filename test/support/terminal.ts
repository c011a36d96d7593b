import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { afterEach } from 'vitest'
import { processState } from '../../src/host/process.ts'
import type { Agent } from './cli.ts'
import { executable, folder, until } from './cli.ts'
import { requires } from './skip.ts'

// A terminal with a person in front of it: tmux shows what is on the screen, and types.

export const needsTmux = requires(spawnSync('tmux', ['-V']).status === 0, 'needs tmux, for a terminal that can be looked at')

const open = new Set<Terminal>()
afterEach(() => {
  for (const terminal of open) terminal.close()
})

/** What the program left behind when it ended. */
export interface Left {
  readonly code: string
  /** The terminal reads whole lines again. */
  readonly isCooked: boolean
  readonly cursor: boolean
  readonly alternate: boolean
}

export class Terminal {
  readonly #socket: string
  readonly #pidFile: string

  /** Runs `lh` in a new terminal, as this agent. */
  constructor({ cwd, env }: Agent, words: string, { columns = 100, rows = 24 } = {}) {
    const place = folder('terminal-')
    this.#socket = path.join(place, 'tmux')
    this.#pidFile = path.join(place, 'pid')
    const script = path.join(place, 'run.sh')
    fs.writeFileSync(
      script,
      `sh -c 'echo $$ > "$1"; shift; exec "$@"' sh ${this.#pidFile} ${process.execPath} ${executable} ${words}
code=$?
echo "ended $code $(stty -a | tr ' ;' '\\n\\n' | grep icanon)."
exec cat
`,
    )
    const setting = { ...process.env, TERM: 'xterm-256color', ...env }
    const size = ['-x', String(columns), '-y', String(rows)]
    execFileSync('tmux', ['-S', this.#socket, '-f', '/dev/null', 'new-session', '-d', ...size, '-c', cwd, 'sh', script], {
      env: setting,
      stdio: 'ignore',
    })
    open.add(this)
  }

  #tmux(...args: readonly string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8' })
  }

  /** What is on the screen, line by line. */
  lines(): readonly string[] {
    return this.#tmux('capture-pane', '-p').split('\n').slice(0, -1)
  }

  /** Waits until the screen shows all of these. */
  async shows(...texts: readonly (string | RegExp)[]): Promise<string> {
    let screen = ''
    try {
      await until(() => {
        screen = this.lines().join('\n')
        return texts.every(text => (typeof text === 'string' ? screen.includes(text) : text.test(screen)))
      }, '')
    } catch {
      throw new Error(`never on the screen: ${texts.join(', ')}\n${screen}`)
    }
    return screen
  }

  /** Presses keys by tmux's names for them. */
  press(...keys: readonly string[]): void {
    this.#tmux('send-keys', ...keys)
  }

  type(text: string): void {
    this.#tmux('send-keys', '-l', text)
  }

  resize(columns: number, rows: number): void {
    this.#tmux('resize-window', '-x', String(columns), '-y', String(rows))
  }

  get #pid(): number {
    return Number(fs.readFileSync(this.#pidFile, 'utf8'))
  }

  /** Sends the program a signal. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.#pid, signal)
  }

  /** Waits until the program is stopped: before that, SIGCONT would be lost. */
  async stopped(): Promise<void> {
    await until(() => processState(this.#pid) === 'T', 'the program is stopped')
  }

  /** Waits for the end of the program. */
  async left(): Promise<Left> {
    const [, code = '', cooked] = /ended (\d+) (-?)icanon/.exec(await this.shows(/ended \d+ -?icanon\./))!
    const [cursor, alternate] = this.#tmux('display-message', '-p', '#{cursor_flag} #{alternate_on}').trim().split(' ')
    return { code, isCooked: cooked === '', cursor: cursor === '1', alternate: alternate === '1' }
  }

  close(): void {
    open.delete(this)
    spawnSync('tmux', ['-S', this.#socket, 'kill-server'], { stdio: 'ignore' })
  }
}
