import { usage } from '../../core/fault.ts'
import { Workspace } from '../../service/claim/workspace.ts'
import { openStore } from '../../store/open.ts'
import { version } from '../../version.ts'
import { writeText } from './output.ts'
import { findCommand } from './parse.ts'
import { runCommand } from './run.ts'
import { everyCommand, tableFor } from './table.ts'

// The program `lh`, but for the commands that are programs of their own; see scripts/build.mjs.

const main = (argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> =>
  argv[0] === 'git-hook' ? gitHook(argv.slice(1), env) : runCommand(argv, env, tableFor, json => helpOrVersion(argv, json))

/** Null for a command line that asks for neither. */
async function helpOrVersion(argv: readonly string[], json: boolean): Promise<number | null> {
  if (wantsHelp(argv)) return help(argv, json)
  if (!wantsVersion(argv)) return null
  writeText(1, json ? `${JSON.stringify({ ok: true, version })}\n` : `${version}\n`)
  return 0
}

/** What installed Git hooks start. It is no command of the table: nobody types it. The store's code is in here already, so it is handed on. */
async function gitHook(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const { main } = await import('../git-hook/main.ts')
  // A hook grants nothing, so the test of the hooks may show it a store that is not this repository's.
  const anyStore = env['LEASEHOLD_CANARY'] === '1'
  return main(argv, env, (directory, env, flags) =>
    Workspace.open({ directory, env, open: openStore, anyStore, ...(flags === undefined ? {} : { flags }) }),
  )
}

function wantsHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  const own = end < 0 ? argv : argv.slice(0, end)
  return own.length === 0 || own.includes('--help') || own.includes('-h') || own.find(word => word !== '--json') === 'help'
}

/** `--version` says nothing of anything else, so nothing else may stand beside it but how to say it. */
function wantsVersion(argv: readonly string[]): boolean {
  const others = argv.filter(word => word !== '--json')
  const isAsked = others[0] === '--version' || others[0] === '-v'
  if (isAsked && others.length > 1) throw usage(`lh ${others[0]} takes nothing but --json, not "${others[1]}"`, 'lh --version')
  return isAsked
}

async function help(argv: readonly string[], json: boolean): Promise<number> {
  const words = argv.filter(word => !word.startsWith('-') && word !== 'help')
  const [{ helpDocument, helpText }, commands] = [await import('./help.ts'), await everyCommand()]
  const known = words.length === 0 || findCommand(words, commands) !== null || commands.some(({ path }) => path.startsWith(`${words[0]} `))
  if (!known) throw usage(`there is no command "lh ${words[0]}"`, 'see: lh --help')
  writeText(1, json ? `${JSON.stringify(helpDocument(words, commands))}\n` : helpText(words, commands))
  return 0
}

void main(process.argv.slice(2), process.env).then(code => process.exit(code))
