import { openStore } from '../../store/open.ts'
import { Workspace } from '../../service/claim/workspace.ts'
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
