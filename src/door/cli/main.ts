import { Fault, isFault, usage } from '../../core/fault.ts'
import { parseAgentId } from '../../service/identity/agent.ts'
import { Workspace, withoutRepository } from '../../service/claim/workspace.ts'
import { openStore } from '../../store/open.ts'
import { version } from '../../version.ts'
import type { Context, Output } from './command.ts'
import { fail, makeOutput, writeText } from './output.ts'
import { checkArity, findCommand, parseCommandLine } from './parse.ts'
import { everyCommand, tableFor } from './table.ts'

/** Runs one command line and resolves to the exit code. */
async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  if (argv[0] === 'git-hook') return gitHook(argv.slice(1), env)
  const json = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : argv.length).includes('--json')
  let path: string | null = null
  try {
    refusePlatform()
    if (wantsHelp(argv)) return await help(argv, json)
    if (wantsVersion(argv)) {
      writeText(1, json ? `${JSON.stringify({ ok: true, version })}\n` : `${version}\n`)
      return 0
    }
    const parsed = parseCommandLine(argv, await tableFor(argv))
    checkArity(parsed)
    const { repo, agent } = parsed.options
    path = parsed.spec.path
    // Also where nobody acts: a filter that can match nobody is a mistake.
    if (typeof agent === 'string') parseAgentId(agent, '--agent')
    const run = await parsed.spec.load()
    const output: Output = makeOutput(json, parsed.options['quiet'] === true, env)
    // Whoever names a repository means that one, whatever GIT_DIR says.
    const place = typeof repo === 'string' ? { directory: repo, env: withoutRepository(env) } : { directory: process.cwd(), env }
    const context: Context = { ...parsed, ...place, output }
    return await run(context)
  } catch (error) {
    return fail(withHelp(workingDirectoryGone(error), path), json)
  }
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

function refusePlatform(): void {
  if (process.platform === 'win32')
    throw usage('Leasehold does not run on Windows itself', 'use it inside WSL2, with the repository on the Linux file system')
}

/** A mistake in what was typed, with where to read how it is typed. One in a file or a variable says where it is. */
function withHelp(error: unknown, path: string | null): unknown {
  if (path === null || !isFault(error) || error.code !== 'usage' || error.hint !== undefined) return error
  if (/^\/|^LEASEHOLD_|:\d+: /.test(error.message)) return error
  return new Fault('usage', error.message, {
    hint: `see: lh ${path} --help`,
    ...(error.details && { details: error.details }),
    cause: error,
  })
}

/** A directory that was removed under the shell makes everything fail with the same unhelpful words. */
function workingDirectoryGone(error: unknown): unknown {
  const gone =
    !isFault(error) && (error as NodeJS.ErrnoException).code === 'ENOENT' && (error as NodeJS.ErrnoException).syscall === 'uv_cwd'
  return gone ? usage('the current directory no longer exists', 'go to another one: cd') : error
}

void main(process.argv.slice(2), process.env).then(code => process.exit(code))
