import fs from 'node:fs'
import path from 'node:path'
import { processState } from '../../host/process.ts'
import type { HookReport } from './evidence.ts'

// How the hooks of a launched agent tell its launcher what they saw: a file that each of them appends a line to. It works through any
// client, shell and sandbox that passes the environment on, needs nobody to listen, and costs a hook one system call.

/** What the directory of a launch is called, before the launcher's pid. */
const prefix = 'leasehold-launch-'

/** A directory that is older, and whose launcher is gone, was left by one that was killed, milliseconds. */
const leftAfterMs = 3_600_000

/** Takes away what killed launchers left. Only what is ours, and never what may be in use in another container. */
function sweep(parent: string): void {
  try {
    for (const name of fs.readdirSync(parent)) {
      if (!name.startsWith(prefix)) continue
      const [pid, directory] = [Number(name.slice(prefix.length).split('-')[0]), path.join(parent, name)]
      if (!Number.isSafeInteger(pid) || processState(pid) !== null || Date.now() - fs.lstatSync(directory).mtimeMs < leftAfterMs) continue
      fs.rmSync(directory, { recursive: true, force: true })
    }
  } catch {
    // Tidying is nobody's reason not to start.
  }
}

/** Longest line that is read; a hook writes far less. */
const maxLine = 65_536

/** How often the file is looked at, milliseconds: where a launch waits for it, that is little. */
const lookEveryMs = 100

/** The reports of one launch. */
export class ReportChannel {
  /** What `LEASEHOLD_LAUNCH_REPORT` names. */
  readonly file: string
  readonly #directory: string
  readonly #timer: NodeJS.Timeout
  #read = 0
  #rest = ''

  constructor(onReport: (report: HookReport) => void) {
    this.#directory = fs.mkdtempSync(path.join(process.getBuiltinModule('node:os').tmpdir(), `${prefix}${process.pid}-`))
    this.file = path.join(this.#directory, 'reports.jsonl')
    fs.writeFileSync(this.file, '', { mode: 0o600 })
    this.#timer = setInterval(() => this.#look(onReport), lookEveryMs)
  }

  /** Tidies up as well: a temporary directory may have thousands of entries, and no agent waits for this. */
  close(): void {
    clearInterval(this.#timer)
    fs.rmSync(this.#directory, { recursive: true, force: true })
    sweep(path.dirname(this.#directory))
  }

  #look(onReport: (report: HookReport) => void): void {
    const lines = `${this.#rest}${this.#more()}`.split('\n')
    this.#rest = (lines.pop() ?? '').slice(0, maxLine)
    for (const line of lines) {
      const report = parsed(line)
      if (report !== null) onReport(report)
    }
  }

  #more(): string {
    try {
      const fd = fs.openSync(this.file, 'r')
      try {
        const bytes = Buffer.alloc(maxLine)
        const count = fs.readSync(fd, bytes, 0, maxLine, this.#read)
        this.#read += count
        return bytes.toString('utf8', 0, count)
      } finally {
        fs.closeSync(fd)
      }
    } catch {
      // Somebody cleans the temporary directory: then there are no reports.
      return ''
    }
  }
}

/** What a hook wrote, or null: whoever has the agent's environment can write here, so nothing is believed of its shape. */
function parsed(line: string): HookReport | null {
  try {
    const { event, client, session_id: sessionId, pid, tool, error } = JSON.parse(line)
    if (typeof event !== 'string' || typeof client !== 'string') return null
    const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
    return { event, client, sessionId: text(sessionId), pid: typeof pid === 'number' ? pid : null, tool: text(tool), error: text(error) }
  } catch {
    return null
  }
}
