import { Fault } from '../core/fault.ts'
import { shellWord } from '../core/shell-word.ts'
import type { MoveEnd, Standing } from './move.ts'
import type { Store } from './store.ts'

// Which store a repository uses is no matter of taste: two of them would be two holders. The store beside the repository is where every
// command can look, so it says where the leases are, also when they are somewhere else. (docs/decisions/0030)

/** Where a repository's leases are, as the store beside it knows. `open`: nobody has written yet, and whoever does first decides. */
export type Whereabouts =
  | { readonly kind: 'open' }
  | { readonly kind: 'here' }
  /** `space`: which set of leases, as far as it was known. */
  | { readonly kind: 'there'; readonly to: string; readonly space: string | null }

/** The store beside a repository, as the one that knows where the leases are. */
export interface Home {
  whereabouts(): Whereabouts
  /** Writes down durably that they are in `to`, if nothing has changed since `seen`. Throws `unavailable` when something has, or where it cannot be written. */
  settle(to: string, space: string | null, seen: Whereabouts): Promise<void>
}

/** The store that the configuration names instead of the one beside the repository. */
export interface Elsewhere {
  /** Of the store beside the repository. */
  readonly directory: string
  /** As the setting `store` has it. */
  readonly name: string
  /** Who says so: the origin of the setting. */
  readonly said: string
}

/** A store in which nobody can do anything: it says itself where its leases went, or that they are on their way. */
const refusesItself = (standing: Standing): boolean => standing.kind === 'arriving' || (standing.kind === 'leaving' && standing.done)

const spaceOf = (standing: Standing): string | null => (standing.kind === 'nothing' ? null : standing.space)

/**
 * Lets a command use the store that its configuration names, if that is where this repository's leases are: one small read. Where nobody has
 * written yet, the first write decides. Throws `usage`, naming both, where the leases are somewhere else; the same set of leases under another
 * name (moved by another clone, another member of the cluster) is told by its identity. Whether a store that is noted has the set of leases
 * that is noted, it looks itself. `prepare` makes the place of a store that is not there yet, and throws where that cannot be.
 */
export async function enter(
  store: Store,
  elsewhere: Elsewhere,
  home: Home,
  seen: Whereabouts,
  endOf: () => Promise<MoveEnd>,
  prepare: () => Promise<void>,
): Promise<void> {
  const { name, said } = elsewhere
  if (notedSpace(seen, elsewhere) !== null) return
  const isNamed = seen.kind === 'there' && seen.to === name
  if (seen.kind !== 'open' && !isNamed) {
    const standing = await (await endOf()).standing()
    if (refusesItself(standing)) return
    if (seen.kind === 'here' || seen.space === null || seen.space !== spaceOf(standing)) throw differs(seen, name, said)
  }
  settleAtFirstWrite(store, async () => {
    const standing = await (await endOf()).standing()
    if (refusesItself(standing)) return null
    // A note of a place where nothing can be written would keep everybody out of every other place.
    if (standing.kind === 'nothing') await prepare()
    const now = home.whereabouts()
    await home.settle(name, spaceOf(standing), seen.kind === 'open' ? seen : now)
    return spaceOf(standing)
  })
}

/** The set of leases that has to be in the store that the configuration names, as it is noted; null where that is not known. */
export const notedSpace = (seen: Whereabouts, { name }: Elsewhere): string | null =>
  seen.kind === 'there' && seen.to === name ? seen.space : null

/** Before the first write the name is written down; after it, the identity that this write may have made. */
function settleAtFirstWrite(store: Store, settle: () => Promise<string | null>): void {
  const transact = store.transact.bind(store)
  let before: Promise<string | null> | null = null
  store.transact = async (decide, options) => {
    before ??= settle()
    let space: string | null
    try {
      space = await before
    } catch (error) {
      before = null
      throw error
    }
    const commit = await transact(decide, options)
    // The name is enough to keep others out; the identity only helps when that name changes.
    if (space === null) await (before = settle()).catch(() => undefined)
    return commit
  }
}

/** How to make a setting of this origin say something else. */
function remedy(said: string, name: string): string {
  if (said.startsWith('environment ')) return `unset ${said.slice('environment '.length)}`
  return said === 'user file' ? `lh config set --user store ${shellWord(name)}` : `lh config set store ${shellWord(name)}`
}

function differs(seen: Whereabouts, name: string, said: string): Fault {
  const inUse = seen.kind === 'there' ? seen.to : 'file:'
  const isAsked = said === 'flag'
  const move = `move them: lh store move --to ${shellWord(name)}`
  return new Fault(
    'usage',
    `this repository's leases are in ${inUse}, ${isAsked ? `not in ${name}` : `and the ${said} says store: ${name}`}`,
    {
      hint: isAsked ? move : `use them where they are: ${remedy(said, inUse)}   or ${move}`,
      details: { outcome: 'nothing_changed', store: inUse, setting: name },
    },
  )
}
