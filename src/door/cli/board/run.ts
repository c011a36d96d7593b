import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { refuseGone } from '../../../service/claim/gone.ts'
import { endings, isFromTerminal, onSignals } from '../../../service/claim/signals.ts'
import { commandWords } from '../../../service/config/command-words.ts'
import type { OpenTicket } from '../../../service/session/overview.ts'
import { overviewOf } from '../../../service/session/overview.ts'
import type { Context } from '../command.ts'
import { textOption } from '../command.ts'
import type { FileWorkspace } from '../open.ts'
import { layoutBoard } from './layout.ts'
import { emptyBoard, press, refreshed, sectionsOf } from './model.ts'
import type { Action, Board } from './model.ts'
import type { Screen } from './screen.ts'
import { lookEveryMs } from './pace.ts'
import { takeScreen } from './screen.ts'

// `lh status --watch` on a terminal.

/** Tickets are files: to read all of them is work, and they change seldom. Milliseconds. */
const ticketsEveryMs = 5000

/** Shows the board until somebody ends it. Resolves to the exit code. */
export async function runBoard(context: Context, workspace: FileWorkspace, agentId: string | null): Promise<number> {
  const running = new Running(context, workspace, agentId)
  await running.look()
  return running.run()
}

class Running {
  readonly #context: Context
  readonly #workspace: FileWorkspace
  readonly #agentId: string | null
  #board: Board = emptyBoard
  #screen: Screen | null = null
  #lastSeq = 0
  #tickets: readonly OpenTicket[] = []
  #ticketsAt = Number.NEGATIVE_INFINITY
  /** Resolves the wait of the main loop. */
  #wake: () => void = () => undefined
  readonly #actions: Action[] = []
  #over: number | null = null

  constructor(context: Context, workspace: FileWorkspace, agentId: string | null) {
    this.#context = context
    this.#workspace = workspace
    this.#agentId = agentId
  }

  async run(): Promise<number> {
    const deaf = onSignals(endings, signal => this.#endBy(signal))
    this.#screen = takeScreen(this.#context.output.colour, {
      keys: keys => {
        for (const key of keys) this.#press(key)
        this.#draw()
        this.#wake()
      },
      resized: () => this.#draw(),
    })
    try {
      this.#draw()
      void this.#watch()
      while (this.#over === null) {
        const action = this.#actions.shift()
        // oxlint-disable-next-line no-await-in-loop -- one thing after the other
        if (action !== undefined) await this.#carryOut(action)
        // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
        else await new Promise<void>(resolve => (this.#wake = resolve))
        this.#draw()
      }
      return this.#over
    } finally {
      this.#screen.close()
      deaf()
    }
  }

  /** Ends as the signal would have ended us, with the terminal given back first. */
  #endBy(signal: NodeJS.Signals): void {
    // A Ctrl-C in a program that we gave the terminal to is for that program; when we end, it must not stay on the terminal.
    if (isFromTerminal(signal) && this.#lent !== null) return
    this.#lent?.kill(signal)
    this.#screen?.close()
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  }

  #press(key: Parameters<typeof press>[1]): void {
    const { board, action } = press(this.#board, key)
    this.#board = board
    if (action !== null) this.#actions.push(action)
  }

  /** Reads everything anew. */
  async look(): Promise<void> {
    const view = await this.#workspace.coordinator.view()
    refuseGone(this.#workspace.store.location, view.lastSeq, this.#lastSeq)
    const stale = performance.now() - this.#ticketsAt >= ticketsEveryMs
    if (this.#workspace.mayHaveTickets && (stale || view.lastSeq !== this.#lastSeq)) {
      const { openTickets } = await import('../../../service/session/open-tickets.ts')
      this.#tickets = await openTickets(this.#workspace)
      this.#ticketsAt = performance.now()
    }
    this.#lastSeq = view.lastSeq
    const seen = refreshed(this.#board, sectionsOf(overviewOf(view, this.#agentId, this.#tickets)))
    this.#board = { ...seen, seenAt: view.now.wall, trouble: null }
  }

  async #watch(): Promise<void> {
    while (this.#over === null) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- waiting is what the loop is for
        await this.#workspace.coordinator.changed(this.#lastSeq, lookEveryMs)
        // oxlint-disable-next-line no-await-in-loop -- one look after the other
        await this.look()
      } catch (error) {
        this.#board = { ...this.#board, trouble: (error as Error).message }
        // oxlint-disable-next-line no-await-in-loop -- what is broken is not asked without a pause
        await new Promise(resolve => setTimeout(resolve, lookEveryMs))
      }
      this.#wake()
    }
  }

  #draw(): void {
    if (this.#screen === null || this.#lent !== null) return
    const who = this.#agentId ?? 'nobody (see: lh whoami)'
    this.#screen.draw(layoutBoard(this.#board, `lh status  ${who}  ${this.#workspace.store.location}`, this.#screen.size))
  }

  async #carryOut(action: Action): Promise<void> {
    switch (action.kind) {
      case 'quit':
        this.#over = 0
        return
      case 'suspend':
        return this.#suspend()
      case 'resume':
        return this.#lend(['session', 'resume', action.name])
      case 'launch':
        return this.#launch(action.ticket)
      case 'reclaim':
        return this.#reclaim(action.name, action.reason)
    }
  }

  async #suspend(): Promise<void> {
    this.#screen?.close()
    const back = new Promise<void>(resolve => process.once('SIGCONT', () => resolve()))
    process.kill(process.pid, 'SIGSTOP')
    await back
    this.#screen?.open()
  }

  async #launch(ticket: string): Promise<void> {
    const text = this.#workspace.config.get('launch.command')
    if (text === null) {
      this.#board = { ...this.#board, message: 'no command is set; for example: lh config set launch.command claude' }
      return
    }
    await this.#lend(['launch', ticket, '--role', 'intake'], commandWords(text, 'launch.command'))
  }

  /** The command of ours that has the terminal. */
  #lent: ChildProcess | null = null

  /** Gives the terminal to another command of ours until it ends. */
  async #lend(words: readonly string[], rest: readonly string[] | null = null): Promise<void> {
    this.#screen?.close()
    this.#lent = command(this.#argumentsFor(words, rest), 'inherit')
    try {
      const code = await codeOf(this.#lent)
      const message = endedInWords(words, code)
      this.#board = { ...this.#board, message }
      // What it said last would be gone with the screen before anybody read it.
      if (code !== 0) await pressed(`\n${message}; any key goes back to the board`)
    } finally {
      this.#lent = null
    }
    await this.#lookAgain()
    this.#screen?.open()
  }

  async #reclaim(name: string, reason: string): Promise<void> {
    const child = command(this.#argumentsFor(['session', 'reclaim', name, '--reason', reason], null), 'pipe')
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (said += text))
    await codeOf(child)
    this.#board = { ...this.#board, message: said.trim().split('\n')[0] ?? '' }
    await this.#lookAgain()
  }

  async #lookAgain(): Promise<void> {
    try {
      await this.look()
    } catch (error) {
      this.#board = { ...this.#board, trouble: (error as Error).message }
    }
  }

  /** The command line that means the same repository and the same agent. */
  #argumentsFor(words: readonly string[], rest: readonly string[] | null): readonly string[] {
    const agent = textOption(this.#context, 'agent')
    const options = ['--repo', this.#context.directory, ...(agent === undefined ? [] : ['--agent', agent])]
    return [...words, ...options, ...(rest === null ? [] : ['--', ...rest])]
  }
}

const endedInWords = (words: readonly string[], code: number): string =>
  `lh ${words.join(' ')} ended${code === 0 ? '' : ` with exit code ${code}`}`

/** Starts one of our own commands. */
const command = (args: readonly string[], output: 'inherit' | 'pipe'): ChildProcess =>
  spawn(process.execPath, [process.argv[1]!, ...args], { stdio: [output === 'pipe' ? 'ignore' : output, output, output] })

const codeOf = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => child.on('error', reject).on('close', code => resolve(code ?? 1)))

/** Waits for any key. */
function pressed(prompt: string): Promise<void> {
  const { stdin, stdout } = process
  stdout.write(`${prompt}\n`)
  stdin.setRawMode(true).resume()
  return new Promise(resolve => {
    stdin.once('data', () => {
      stdin.setRawMode(false).pause()
      resolve()
    })
  })
}
