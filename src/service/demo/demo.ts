import path from 'node:path'
import { Workspace } from '../claim/workspace.ts'
import type { WorkspaceOptions } from '../claim/workspace.ts'
import { collect } from '../selftest/ownership.ts'
import type { Moment } from './play.ts'
import { Play } from './play.ts'
import { buildStage } from './stage.ts'
import type { Verdict } from './verdict.ts'
import { judge } from './verdict.ts'

export interface DemoOptions {
  readonly env: NodeJS.ProcessEnv
  readonly open: WorkspaceOptions['open']
  /** The executable that runs now; the agents use the same. */
  readonly lh: string
  readonly keep: boolean
  /** Called once the stage stands, with its directory. */
  readonly onStart: (directory: string) => void
  /** Called for each row of the timeline, in order, a moment after it happened. */
  readonly onMoment: (moment: Moment, elapsedMs: number) => void
}

export interface Demonstrated extends Verdict {
  readonly directory: string
  readonly timeline: readonly (Moment & { readonly elapsedMs: number })[]
}

/** Plays the demo in a temporary repository and judges what happened. Leaves nothing behind unless `keep`. */
export async function demonstrate(options: DemoOptions): Promise<Demonstrated> {
  const lh = path.resolve(options.lh)
  let play: Play | null = null
  const stage = buildStage(options.env, lh, options.keep, () => play?.stop())
  try {
    options.onStart(stage.directory)
    const { store } = await Workspace.open({ directory: stage.repository, env: stage.env, open: options.open })
    const timeline: (Moment & { readonly elapsedMs: number })[] = []
    play = new Play(stage, store, moment => {
      const elapsedMs = moment.at - (timeline[0]?.at ?? moment.at)
      timeline.push({ ...moment, elapsedMs })
      options.onMoment(moment, elapsedMs)
    })
    const seen = await play.run()
    return { ...judge(stage, seen, await collect(store.history()), lh), directory: stage.directory, timeline }
  } finally {
    stage.close()
  }
}
