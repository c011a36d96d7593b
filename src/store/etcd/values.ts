import { Fault, isFault } from '../../core/fault.ts'
import { emptySlot } from '../../core/lease.ts'
import type { Slot } from '../../core/lease.ts'
import type { Entry } from '../../core/operation.ts'
import { schemaVersion } from '../../core/operation.ts'
import {
  entryFromWire,
  entryToWire,
  leaseFromStored,
  leaseToStored,
  pastFromStored,
  pastToStored,
  sessionFromWire,
  sessionToWire,
} from '../../core/wire.ts'
import type { MoveMark } from '../move.ts'
import type { Pair } from './messages.ts'
import { positionOf } from './positions.ts'

// What the values say. A position is the revision of a transaction, which nobody knows before it is done: what a transaction itself makes
// is written without its position, and is read as the revision that it was written at. A later write of the same value fills it in.

/** The position of the transaction that is being made. */
export const here = Number.POSITIVE_INFINITY

/** Where a value without its position was written. Before commands travelled together, a revision was one position. */
const positionIn = ({ base, place }: { readonly base: number; readonly place?: number }, mod: number): number =>
  place === undefined ? base + mod : positionOf(base, mod, place)

const orNull = (position: number): number | null => (position === here ? null : position)

/** What holds for the space as a whole. */
export interface SpaceSettings {
  readonly space: string
  /** Added to etcd's revisions: raised when a log with larger positions is moved in, or a backup is restored. */
  readonly tokenBase: number
  readonly minWriter: number
  readonly limits: { readonly max_indefinite_leases_per_agent: number; readonly max_indefinite_leases_per_repo: number }
  /** The leases are being moved, or were; then nothing is written here. */
  readonly move?: MoveMark
}

/** What `read` makes of what is stored under this name. Throws `unavailable` where it is nothing of ours, which says nothing of who holds what. */
export function readable<T>(name: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isUnreadable(error) || isFault(error)) throw error
    throw new Fault('unavailable', `${name} cannot be read: somebody wrote past Leasehold, and who holds what is not known from it`, {
      hint: 'see what is wrong: lh verify; is the space in the URL the right one?',
      details: { outcome: 'nothing_changed', damaged: name },
      cause: error,
    })
  }
}

/** What is no JSON, or not of the shape that it should have. */
export const isUnreadable = (error: unknown): boolean =>
  error instanceof SyntaxError ||
  error instanceof TypeError ||
  error instanceof URIError ||
  (isFault(error) && error.details?.['damaged'] !== undefined)

/** Version of the layout that this code reads and writes. */
const layoutVersion = 2

/** `change`: the name of the write, where its writer has to know it again. */
export const settingsToValue = (settings: SpaceSettings, change?: string): string =>
  JSON.stringify({
    schema_version: layoutVersion,
    space: settings.space,
    token_base: settings.tokenBase,
    min_writer: settings.minWriter,
    limits: settings.limits,
    ...(settings.move === undefined ? {} : { move: settings.move }),
    ...(change === undefined ? {} : { change }),
  })

/** Throws `unavailable` for what a newer version wrote. */
export const settingsFromValue = (value: string, shown: string): SpaceSettings =>
  readable(`what holds for ${shown} as a whole`, () => settingsOf(value, shown))

function settingsOf(value: string, shown: string): SpaceSettings {
  const wire = JSON.parse(value)
  if (wire.schema_version > layoutVersion)
    throw new Fault('unavailable', `${shown} was made by a newer Leasehold`, {
      hint: 'upgrade leasehold',
      details: { outcome: 'nothing_changed' },
    })
  if (typeof wire.space !== 'string' || !Number.isSafeInteger(wire.token_base) || typeof wire.limits !== 'object' || wire.limits === null)
    throw new TypeError('these are no settings')
  return {
    space: wire.space,
    tokenBase: wire.token_base,
    minWriter: wire.min_writer,
    limits: wire.limits,
    ...(wire.move === undefined ? {} : { move: wire.move }),
  }
}

/** A key as it is stored. */
export interface Head {
  readonly slot: Slot
  /** How many records there are about this key. */
  readonly n: number
  /** Records before this one are no longer kept. */
  readonly logFrom: number
  /** The engine lease that its beat is attached to; null without an owner, or where silence means nothing. */
  readonly engineLease: string | null
  /** The token whose holder was found silent: an eviction is being weighed, or was. */
  readonly suspect: number | null
}

export const emptyHead: Head = { slot: emptySlot, n: 0, logFrom: 1, engineLease: null, suspect: null }

/** `base` and `place` are what the position of this command is counted from. */
export function headToValue({ slot: { lease, past, session }, n, logFrom, engineLease, suspect }: Head, base: number, place = 0): string {
  return JSON.stringify({
    v: layoutVersion,
    base,
    place,
    n,
    log_from: logFrom,
    engine_lease: engineLease,
    suspect,
    lease: lease === null ? null : { ...leaseToStored(lease), token: orNull(lease.token) },
    past: past === null ? null : { ...pastToStored(past), ended_seq: orNull(past.endedSeq) },
    ...(session === null ? {} : { session: sessionToWire(session) }),
  })
}

export function headFromPair({ value, mod }: Pair): Head {
  if (mod === 0) return emptyHead
  const wire = JSON.parse(value)
  refuseNewer(wire.v)
  const position = positionIn(wire, mod)
  const { lease, past, session = null } = wire
  return {
    slot: {
      lease: lease === null ? null : leaseFromStored({ ...lease, token: lease.token ?? position }),
      past: past === null ? null : pastFromStored({ ...past, ended_seq: past.ended_seq ?? position }),
      session: session === null ? null : sessionFromWire(session),
    },
    n: wire.n,
    logFrom: wire.log_from,
    engineLease: wire.engine_lease,
    suspect: wire.suspect,
  }
}

function refuseNewer(version: unknown): void {
  if (typeof version !== 'number') throw new TypeError('it is no head')
  if (version <= layoutVersion) return
  throw new Fault('unavailable', 'this space has records of a newer Leasehold', {
    hint: 'upgrade leasehold',
    details: { outcome: 'nothing_changed' },
  })
}

/** A record as it is read back. */
export interface Logged {
  readonly entry: Entry
  /** Orders the records of one transaction. */
  readonly index: number
  /** Which transaction wrote it: its maker knows it again by this when the answer was lost. */
  readonly transaction: string
  /** The same record under another of its keys is the one that counts in the whole history. */
  readonly isCopy: boolean
}

/** An ownership's token is its own position, so it is left out with it; other records name a token that is known. */
export const logToValue = ({ entry, index, transaction, isCopy }: Logged, base: number, place = 0): string =>
  JSON.stringify({ base, place, index, transaction, ...(isCopy ? { copy: true } : {}), ...entryToWire(entry), seq: orNull(entry.seq) })

/** Null for a record that this version does not understand. */
export function logFromPair({ value, mod }: Pair): Logged | null {
  const wire = JSON.parse(value)
  if (wire.schema_version > schemaVersion) return null
  const entry = entryFromWire({ ...wire, seq: wire.seq ?? positionIn(wire, mod) })
  return entry === null ? null : { entry, index: wire.index, transaction: wire.transaction, isCopy: wire.copy === true }
}

/** An indefinite ownership, as the limits count it. */
export interface Counted {
  readonly token: number
  readonly agentId: string
  readonly resource: string
}

export const countedToValue = (counted: readonly Counted[], base: number, place = 0): string =>
  JSON.stringify({ base, place, indefinite: counted.map(({ token, agentId, resource }) => [orNull(token), agentId, resource]) })

export function countedFromPair({ value, mod }: Pair): readonly Counted[] {
  if (mod === 0) return []
  const wire = JSON.parse(value)
  return wire.indefinite.map(([token, agentId, resource]: [number | null, string, string]) => ({
    token: token ?? positionIn(wire, mod),
    agentId,
    resource,
  }))
}
