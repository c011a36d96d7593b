import type { Answer, Refused } from '../../coordinator.ts'
import type { Holder, Lease } from '../../core/lease.ts'
import { isExpired, isFinal } from '../../core/lease.ts'
import type { Presented } from '../../core/refusal.ts'
import type { Reading } from '../../store/store.ts'
import { orThrow, provenDead } from '../claim/answer.ts'
import { proofFor } from '../claim/proof.ts'
import type { Workspace } from '../claim/workspace.ts'
import { readHeld } from '../identity/held.ts'
import type { Asker } from './asker.ts'
import type { Entry } from './entries.ts'
import { keysOf } from './keys.ts'
import { refuseRemoval } from './regain.ts'

export type { Asker } from './asker.ts'

// Who may remove a worktree: whoever has its leases, or anybody while nobody has. Only one at a time, and nobody starts to work in it meanwhile.

/** The right to remove a worktree, as long as it is not given back. */
export interface Fence {
  /** What ends with the worktree. */
  readonly leases: readonly Lease[]
  /** Takes for the moment what nobody has. Throws `held` when somebody was quicker. */
  close(): Promise<void>
  /** Runs while the store is locked, after it was proven that this is still ours. Throws the refusal otherwise. */
  commit(effect: () => void): Promise<void>
  /** Ends what was held for the worktree. Throws what the store does. */
  release(): Promise<readonly Lease[]>
  /** Gives back what was taken for the moment; the caller's own leases stay. */
  abandon(): Promise<void>
}

/** How long a removal may take until others may think that it died. Seconds. */
const momentSecs = 300

/** Every lease that concerns a worktree: on it, its branch, its ticket, or taken by whoever works in it. */
export function leasesOf(entry: Entry, workspace: Workspace, view: Reading): readonly Lease[] {
  const { own: named, ticket } = keysOf(entry, workspace)
  const keys = new Set([...named, ...(ticket === null ? [] : [ticket])])
  // A command of `lh work` is found by where it works; its lease only keeps a second one out.
  const own = (lease: Lease): boolean => lease.holder.worktreeId === entry.identity.worktreeId && !lease.resource.startsWith('work:')
  return [...view.all()].filter(lease => keys.has(lease.resource) || own(lease))
}

/** Does nobody hold anything of it? What has expired, or whose process is proven dead, holds nothing. */
export const isUnheld = (entry: Entry, workspace: Workspace, view: Reading): boolean =>
  leasesOf(entry, workspace, view).every(lease => isExpired(lease, view.now) || (lease.binding !== null && provenDead(lease, view)))

/**
 * Proves the caller's leases on a worktree. Throws `superseded` when one was lost, or when what is shown belongs to none of them,
 * `not_owner` or `held` when somebody else has one. Nothing is taken before `Fence.close`, so that whoever is refused for another reason
 * leaves no record.
 */
export async function fenceOff(asker: Asker, entry: Entry): Promise<Fence> {
  const { workspace } = asker
  const { own, ticket } = keysOf(entry, workspace)
  const leases = leasesOf(entry, workspace, await workspace.coordinator.view())
  const keys = new Set([...(ticket === null ? [] : [ticket]), ...own, ...leases.map(({ resource }) => resource)])
  const shown = shownBy(asker)
  const meant = shown === null ? null : (leases.find(lease => isShown(lease, shown)) ?? null)
  // What belongs to none of them is judged by the first key: that of the ticket, where there is one.
  let stray = shown !== null && meant === null ? shown : null
  const mine: Lease[] = []
  for (const key of keys) {
    const lease = leases.find(({ resource, token }) => resource === key && token === meant?.token) ?? null
    const found = foundProof(asker, entry, key)
    const proof = stray ?? (shown === null || lease === null ? found : proofOf(lease, shown, found))
    // oxlint-disable-next-line no-await-in-loop -- hardly ever more than three
    const answer = await prove(asker, key, proof)
    if (answer.ok) mine.push(answer.leases.find(({ resource }) => resource === key) ?? answer.leases[0]!)
    else if (!isFree(answer, asker.caller.holder, stray !== null) && !(shown === null && isNobodys(answer, entry)))
      // oxlint-disable-next-line no-await-in-loop -- it ends the loop
      await refuseRemoval(asker, entry, answer)
    stray = null
  }
  return new Held(workspace, asker.caller.holder, entry, mine)
}

/** What the caller shows for whatever there is: the options, else an environment that names no resources. Null when nothing. */
function shownBy({ workspace, caller, flags, env }: Asker): Presented | null {
  const { LEASEHOLD_TOKEN: token, LEASEHOLD_RESOURCES: resources } = env
  const general = token !== undefined && token !== '' && resources === undefined
  if (flags.token === undefined && flags.lease === undefined && !general) return null
  return proofFor(workspace, { resource: '' }, flags, env, caller.holder)
}

const isShown = (lease: Lease, { leaseId, token }: Presented): boolean =>
  (token === null || token === lease.token) && (leaseId === null || leaseId === lease.leaseId)

/**
 * What is shown, for one member of the ownership that it belongs to: each has a lease id of its own. Half of a proof is as good as what was
 * noted of the same lease; without that it leaves the question to identity.
 */
function proofOf(lease: Lease, { leaseId, token }: Presented, found: Presented): Presented {
  if (found.leaseId === lease.leaseId && found.token === lease.token) return found
  return { leaseId: leaseId === null ? null : lease.leaseId, token }
}

/** Without anything shown: the environment where it means this key, what the worktree noted, then what was noted where the caller stands. */
function foundProof({ workspace, caller, env }: Asker, entry: Entry, key: string): Presented {
  const { holder } = caller
  const target = { resource: key }
  const isMeant = env['LEASEHOLD_RESOURCES']?.split('\n').includes(key) === true
  return (isMeant ? null : noteIn(entry, key, holder)) ?? proofFor(workspace, target, {}, isMeant ? env : {}, holder)
}

/** Proves the caller's lease on a key, and changes nothing. */
const prove = ({ workspace, caller }: Asker, key: string, presented: Presented): Promise<Answer> =>
  workspace.coordinator.guard({ holder: caller.holder }, { target: { resource: key }, presented, effect: () => undefined })

/** What the worktree itself noted when this caller took the lease there. */
function noteIn({ gitDir, identity }: Entry, key: string, holder: Holder): Presented | null {
  const place = { gitDir, commonDir: gitDir, root: identity.root, kind: 'linked' as const, shared: false, ignoreCase: false }
  const note = readHeld(place).entries.get(key)
  return note === undefined || note.agentId !== holder.agentId || note.session !== holder.sessionId
    ? null
    : { leaseId: note.leaseId, token: note.token }
}

/** Nobody has it: it was never taken, its time is over, or the caller gave it back itself, perhaps in a removal that was killed then. */
function isFree({ refusal, now }: Refused, holder: Holder, exactly: boolean): boolean {
  if (refusal.kind === 'superseded') {
    const { lease, past, presented } = refusal
    if (lease !== null || past?.endedBy !== 'release') return false
    const isThat = (presented.token ?? past.token) === past.token && (presented.leaseId ?? past.leaseId) === past.leaseId
    // Who shows all of what was given back is whoever gave it back, by whatever name.
    if (isThat && presented.token !== null && presented.leaseId !== null) return true
    return (isThat || !exactly) && past.holder.agentId === holder.agentId && past.holder.sessionId === holder.sessionId
  }
  return refusal.kind === 'not-held' || (refusal.kind === 'not-owner' && isExpired(refusal.lease, now))
}

/** The ticket was finished by whoever had it last. */
const isOver = ({ refusal }: Refused): boolean => refusal.kind === 'superseded' && refusal.lease === null && isFinal(refusal.past)

/** The caller lost it and cannot take it again: it is over, or the directory, in which that would have to be, is gone. Nobody has it. */
const isNobodys = (answer: Refused, { present }: Entry): boolean =>
  isOver(answer) || (!present && answer.refusal.kind === 'superseded' && answer.refusal.lease === null)

class Held implements Fence {
  readonly leases: readonly Lease[]
  readonly #workspace: Workspace
  readonly #holder: Holder
  readonly #mine: readonly Lease[]
  /** The worktree's key, then its branch's. */
  readonly #keys: readonly string[]
  #taken: readonly Lease[] = []

  constructor(workspace: Workspace, holder: Holder, entry: Entry, mine: readonly Lease[]) {
    this.#workspace = workspace
    this.#holder = holder
    this.#mine = mine
    this.#keys = keysOf(entry, workspace).own
    // A ticket that its holder works on elsewhere goes on there.
    this.leases = mine.filter(
      lease =>
        lease.holder.worktreeId === entry.identity.worktreeId ||
        this.#keys.includes(lease.resource) ||
        lease.group?.resources.some(key => this.#keys.includes(key)) === true,
    )
  }

  async close(): Promise<void> {
    const resources = this.#keys.filter(key => !this.#mine.some(lease => lease.resource === key))
    if (resources.length === 0) return
    const request = { resources, ttlSecs: momentSecs, reason: 'worktree remove', finishedToo: true }
    this.#taken = orThrow(await this.#workspace.coordinator.acquire({ holder: this.#holder }, request)).leases
  }

  async commit(effect: () => void): Promise<void> {
    const { resource, leaseId, token } = [...this.#mine, ...this.#taken].find(lease => lease.resource === this.#keys[0])!
    const request = { target: { resource }, presented: { leaseId, token }, effect }
    orThrow(await this.#workspace.coordinator.guard({ holder: this.#holder }, request))
  }

  async release(): Promise<readonly Lease[]> {
    const ended = await this.#end(this.leases)
    await this.#end(this.#taken)
    return ended
  }

  async abandon(): Promise<void> {
    // If it cannot be given back, time does it.
    await this.#end(this.#taken).catch(() => undefined)
  }

  /** One release for each ownership: a group ends as a whole. */
  async #end(leases: readonly Lease[]): Promise<readonly Lease[]> {
    const ended: Lease[] = []
    for (const { resource, leaseId, token } of new Map(leases.map(lease => [lease.token, lease])).values()) {
      // oxlint-disable-next-line no-await-in-loop -- hardly ever more than one
      const answer = await this.#workspace.coordinator.release(
        { holder: this.#holder },
        { target: { resource }, presented: { leaseId, token }, reason: 'worktree removed' },
      )
      // Somebody ended it meanwhile: the worktree is gone either way.
      if (answer.ok) ended.push(...answer.ended)
    }
    return ended
  }
}
