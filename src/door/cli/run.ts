import { Fault, isFault, usage } from '../../core/fault.ts'
import { parseAgentId } from '../../service/identity/agent.ts'
import { withoutRepository } from '../../service/claim/workspace.ts'
import type { CommandSpec, Context, Output } from './command.ts'
import { fail, makeOutput } from './output.ts'
import { checkArity, parseCommandLine } from './parse.ts'

/** Runs one command of a table and resolves to the exit code. `answer` is for what is no command: help, the version. */
export async function runCommand(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  tableFor: (argv: readonly string[]) => readonly CommandSpec[] | Promise<readonly CommandSpec[]>,
  answer?: (json: boolean) => Promise<number | null>,
): Promise<number> {
  const json = argv.slice(0, argv.includes('--') ? argv.indexOf('--') : argv.length).includes('--json')
  let path: string | null = null
  try {
    refusePlatform()
    const answered = (await answer?.(json)) ?? null
    if (answered !== null) return answered
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
