import { Fault, usage } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import type { MoveEnd, Moving, Standing } from '../../store/move.ts'
import type { Report } from './report.ts'
import { count, fine } from './report.ts'

/** One of the two stores, as the setting `store` names it. */
export interface MovePlace {
  readonly name: string
  readonly end: MoveEnd
}

export interface MoveRequest {
  readonly source: MovePlace
  readonly target: MovePlace
  /** Use the leases that the target has; possible where nobody holds anything in the source, whose records stay behind. */
  readonly join: boolean
  /** Nothing has ever happened in the source. */
  readonly unused: boolean
  /** The last step: from now on the configuration names the target. Resolves to the file that says so. */
  readonly switchTo: (name: string) => Promise<string>
}

/**
 * `lh store move --to`. The steps, each durable before the next, so that the command can be given again wherever it was stopped:
 *
 * 1. freeze the source: it is read, and not written to; 2. write everything into the target, which nobody may use yet; 3. seal the source:
 * from now on the move cannot be given up; 4. open the target; 5. switch the configuration.
 *
 * At no moment two stores take writes. Before step 3 the leases are the source's, and after a fault it is thawed at once.
 */
export async function moveStore({ source, target, join, unused, switchTo }: MoveRequest): Promise<Report> {
  if (source.name === target.name) throw usage(`the leases are in ${target.name} already`, 'there is nothing to move; see: lh config list')
  const [found, to] = [await source.end.standing(), await target.end.standing()]
  const from: Standing = unused && found.kind === 'in-use' ? { kind: 'nothing' } : found
  const isSealed = from.kind === 'leaving' && from.done
  refuseOther(from, source, target)
  if (join && isStranger(from, to)) return joined(source, target, from, switchTo)
  refuseStranger(from, to, source, target)
  const moved = isSealed ? null : await carry(source, target)
  if (moved !== null || to.kind === 'arriving') await target.end.open()
  const file = await switchTo(target.name)
  return report(source, target, moved, file)
}

/** `lh store move --back`: gives up a move that was stopped before its third step. */
export async function giveUpMove({ name, end }: MovePlace): Promise<Report> {
  const standing = await end.standing()
  if (standing.kind !== 'leaving')
    throw usage(`no move from ${name} is under way`, 'there is nothing to give up; to begin one: lh store move --to <store>')
  if (standing.done)
    throw new Fault('unavailable', `everything was moved to ${standing.to}, and the move cannot be given up any more`, {
      hint: `finish it: lh store move --to ${shellWord(standing.to)}   and then, if you like: lh store move --to ${shellWord(name)}`,
      details: { outcome: 'nothing_changed' },
    })
  await end.thaw()
  return fine({ given_up: true, from: name, to: standing.to }, [`the leases stay in ${name}; claims are possible again`])
}

function refuseOther(from: Standing, source: MovePlace, target: MovePlace): void {
  if (from.kind === 'leaving' && from.to !== target.name)
    throw usage(`the leases of ${source.name} are being moved to ${from.to}`, `finish that: lh store move --to ${shellWord(from.to)}`)
  if (from.kind === 'arriving')
    throw usage(`leases are being moved to ${source.name} from ${from.from}, and that is not finished`, 'finish it where they were')
}

/** Two sets of leases cannot become one: the target is empty, was these leases' place before, or is the other end of this very move. */
function refuseStranger(from: Standing, to: Standing, source: MovePlace, target: MovePlace): void {
  if (to.kind === 'nothing') return
  if (from.kind !== 'nothing' && to.space === from.space && (to.kind !== 'in-use' || (from.kind === 'leaving' && from.done))) return
  if (to.kind === 'arriving' && to.from === source.name) return
  throw usage(
    `${target.name} has leases of its own`,
    from.kind === 'nothing'
      ? `there are none here, so simply use those: lh config set store ${shellWord(target.name)}`
      : `choose an empty place; or use those and leave what is here, once nobody holds any of it: lh store move --to ${shellWord(target.name)} --join`,
  )
}

/** Does the target have leases of its own, which others use? */
const isStranger = (from: Standing, to: Standing): boolean => to.kind === 'in-use' && (from.kind === 'nothing' || from.space !== to.space)

/** Instead of steps 1 to 4: what is here is left, if nobody holds any of it. */
async function joined(source: MovePlace, target: MovePlace, from: Standing, switchTo: MoveRequest['switchTo']): Promise<Report> {
  if (from.kind === 'in-use') await source.end.freeze(target.name)
  if (from.kind === 'in-use' || (from.kind === 'leaving' && !from.done)) {
    try {
      refuseHeld(await source.end.read())
      await source.end.seal(target.name)
    } catch (error) {
      await source.end.thaw().catch(() => undefined)
      throw error
    }
  }
  const file = await switchTo(target.name)
  return fine({ from: source.name, to: target.name, joined: true, file }, [
    `from now on the leases are those of ${target.name}; what happened in ${source.name} stays there`,
    `store = ${target.name}   in ${file}`,
  ])
}

function refuseHeld({ alive, bound }: Moving): void {
  const held = [...new Set([...alive, ...bound])]
  if (held.length === 0) return
  throw new Fault('policy', `${held.join(', ')}: still held here, and would be nobody's there`, {
    hint: 'have it released first: lh claim list',
    details: { outcome: 'nothing_changed', resources: held },
  })
}

/** Steps 1 to 3. */
async function carry(source: MovePlace, target: MovePlace): Promise<Moving> {
  const before = await source.end.standing()
  if (before.kind !== 'leaving') await source.end.freeze(target.name)
  try {
    const moving = await source.end.read()
    refuseBound(moving)
    await target.end.receive(moving, source.name)
    await source.end.seal(target.name)
    return moving
  } catch (error) {
    const now = await source.end.standing().catch(() => null)
    // Nobody has to wait for somebody to come and see what went wrong.
    if (now?.kind === 'leaving' && !now.done) await source.end.thaw().catch(() => undefined)
    throw error
  }
}

function refuseBound({ bound }: Moving): void {
  if (bound.length === 0) return
  throw new Fault('policy', `${bound.join(', ')}: held by a command that runs, or for a launch, and such a hold cannot be moved`, {
    hint: 'wait for lh exec, lh work and lh launch to end, or end them; then give the command again',
    details: { outcome: 'nothing_changed', resources: bound },
  })
}

function report(source: MovePlace, target: MovePlace, moved: Moving | null, file: string): Report {
  const document = {
    from: source.name,
    to: target.name,
    ...(moved === null ? { resumed: true } : { records: moved.entries.length, leases: moved.alive.size, last_seq: moved.lastSeq }),
    file,
  }
  const what =
    moved === null
      ? 'the move was finished'
      : `${count(moved.entries.length, 'record')} and ${count(moved.alive.size, 'live lease')} were moved; later tokens are larger than ${moved.lastSeq}`
  return fine(document, [
    what,
    `store = ${target.name}   in ${file}`,
    'commit that file: until another worktree or clone has it, its commands are told where the leases are',
  ])
}
