import { openStore } from '../../store/open.ts'
import { Workspace, withoutRepository } from '../../service/claim/workspace.ts'
import type { WorkspaceOptions } from '../../service/claim/workspace.ts'
import type { Context } from './command.ts'
import { textOption } from './command.ts'

export type FileWorkspace = Awaited<ReturnType<typeof openWorkspace>>

/** The repository that a command is about, with its store. */
export const openWorkspace = (
  context: Context,
  more: Pick<WorkspaceOptions, 'resident' | 'allowUnsafeFs' | 'flags' | 'anyStore' | 'faultyConfig'> = {},
) =>
  Workspace.open({
    directory: context.directory,
    env: context.env,
    agent: textOption(context, 'agent'),
    open: openStore,
    ...more,
  })

/** The same command in another directory. What Git has set (an alias runs with `GIT_DIR` in a linked worktree) names the repository here. */
export const elsewhere = (context: Context, directory: string): Context => ({
  ...context,
  directory,
  env: withoutRepository(context.env),
})
