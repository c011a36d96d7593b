import { isUtf8 } from 'node:buffer'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { isatty } from 'node:tty'
import { usage } from '../../core/fault.ts'

/** What a person left in the editor. */
export interface Edited {
  /** Throws `usage` for what is no text. */
  readonly text: string
  readonly file: string
  forget(): void
}

/** Where an editor draws that may not write to our standard output: the terminal of the person who types, else standard error. */
function screen(): { readonly fd: number; readonly close: () => void } {
  const none = { fd: 2, close: () => undefined }
  if (!isatty(0)) return none
  try {
    const fd = fs.openSync('/dev/tty', 'w')
    return { fd, close: () => fs.closeSync(fd) }
  } catch {
    return none
  }
}

/** Opens the user's editor on a copy of a text and waits. With `quiet`, the editor's output does not mix with our document. */
export function editInTemporaryFile(editor: string, name: string, text: string, quiet: boolean): Edited {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'leasehold-edit-'))
  const file = path.join(folder, name)
  fs.writeFileSync(file, text, { mode: 0o600 })
  const drawn = quiet ? screen() : null
  // EDITOR may have arguments (`code --wait`), so a shell reads it, as Git does.
  const { status, error } = spawnSync('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], {
    stdio: ['inherit', drawn?.fd ?? 'inherit', 'inherit'],
  })
  drawn?.close()
  const forget = (): void => fs.rmSync(folder, { recursive: true, force: true })
  if (error !== undefined || status !== 0) {
    forget()
    throw usage(`the editor (${editor}) ended with ${error?.message ?? `exit code ${status}`}`, 'nothing was changed')
  }
  if (!fs.existsSync(file)) {
    forget()
    throw usage(`the editor (${editor}) left no file`, 'nothing was changed')
  }
  return {
    get text() {
      const bytes = fs.readFileSync(file)
      if (!isUtf8(bytes)) throw usage('what came out of the editor is not UTF-8 text', 'let it save as UTF-8')
      return bytes.toString('utf8')
    },
    file,
    forget,
  }
}
