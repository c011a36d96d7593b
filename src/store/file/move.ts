import { Fault, usage } from '../../core/fault.ts'
import { syncDirectory, writeFully } from '../../host/disk.ts'
import type { Base, MoveEnd, MoveMark, Moving, Standing } from '../move.ts'
import { emptyBase, stateOf } from '../base.ts'
import { leaseFromStored, pastFromStored, sessionFromWire } from '../../core/wire.ts'
import type { Entry } from '../../core/operation.ts'
import { listArchive, readLines, removedThrough } from './archive.ts'
import type { Format } from './directory.ts'
import { accessFault, createFile, formatVersion, lookAt, readFormat, refuseNewerFormat, removeIfPresent, writeFormat } from './directory.ts'
import { lawful } from './lawful.ts'
import { withoutDoubles } from './leftovers.ts'
import { firstPrev } from './record.ts'
import { sealCheckpoint, sealEntry } from './segment.ts'
import { unpoison } from './session.ts'
import type { FileStore } from './store.ts'
import { verifyLog } from './verify.ts'

/** A store in files as an end of a move. */
export const fileEnd = (store: FileStore): MoveEnd => ({
  // oxlint-disable-next-line typescript/require-await -- the interface is asynchronous, reading files is not
  standing: async () => {
    try {
      return standingOf(store)
    } catch (error) {
      throw accessFault(error, store.layout.directory)
    }
  },
  freeze: to => store.exclusively('store move', () => mark(store, { to, done: false })),
  read: () => read(store),
  seal: to => store.lockedOnly('store move', () => mark(store, { to, done: true })),
  thaw: () => store.lockedOnly('store move', () => mark(store, null)),
  receive: (moving, from) => store.lockedOnly('store move', () => receive(store, moving, from)),
  open: () => store.lockedOnly('store move', () => mark(store, null)),
})

function standingOf(store: FileStore): Standing {
  const { layout } = store
  const { disk } = store.options
  store.refuseAbsent()
  const format = readFormat(disk, layout)
  if (format === null) {
    if (lookAt(disk, layout.log) === null && listArchive(disk, layout).length === 0) return { kind: 'nothing' }
    throw new Fault('unavailable', `${layout.format} is missing beside a log`, {
      hint: 'see: lh doctor',
      details: { outcome: 'nothing_changed' },
    })
  }
  const { space, move } = format
  if (move?.to !== undefined) return { kind: 'leaving', space, to: move.to, done: move.done === true }
  return move?.from === undefined ? { kind: 'in-use', space } : { kind: 'arriving', space, from: move.from }
}

function mark({ layout, modes, options: { disk } }: FileStore, move: MoveMark | null): void {
  const { move: _, ...format } = readFormat(disk, layout)!
  refuseNewerFormat(format, true)
  writeFormat(disk, layout, move === null ? format : { ...format, move: { ...move, space: format.space } }, modes)
}

async function read(store: FileStore): Promise<Moving> {
  const { layout, options } = store
  const { faults, foreign, lastSeq } = verifyLog(options.disk, layout)
  if (faults.length > 0 || foreign !== null)
    throw new Fault('unavailable', `the log of ${store.location} is not sound, and is not moved as it is`, {
      hint: 'see what is wrong: lh verify',
      details: { outcome: 'nothing_changed' },
    })
  const { space, limits } = readFormat(options.disk, layout)!
  const base = baseOf(store)
  const entries: Entry[] = []
  for await (const entry of store.history()) if (entry.seq > base.seq) entries.push(entry)
  const view = await store.view()
  const alive = new Set<string>()
  const bound = view.reservations().map(({ resource }) => resource)
  for (const lease of view.all()) {
    const isDead = view.boundDead(lease)
    if (!isDead && lease.binding !== null) bound.push(lease.resource)
    if (!isDead && view.lapse(lease).state === 'running') alive.add(lease.resource)
  }
  return { space, limits, lastSeq, base, entries, alive, bound }
}

/** What the oldest segment begins with that retention has not removed; a power loss may have brought an older one back. */
function baseOf({ layout, options: { disk } }: FileStore): Base {
  const removed = removedThrough(disk, layout) ?? 0
  const oldest = withoutDoubles(listArchive(disk, layout), null).find(({ last }) => last > removed)
  const base = { ...emptyBase, leases: [...emptyBase.leases], pasts: [...emptyBase.pasts], sessions: [...emptyBase.sessions] }
  for (const { record } of readLines(disk, oldest?.file ?? layout.log)) {
    if (record === null) return base
    if (record.op === 'segment') Object.assign(base, { seq: record.base_seq, clocks: { current: record.clk, seen: record.clocks } })
    else if (record.seq !== base.seq) return base
    else if (record.op === 'live') base.leases.push(leaseFromStored(record.lease))
    else if (record.op === 'past') base.pasts.push(pastFromStored(record.past))
    else if (record.op === 'session') base.sessions.push(sessionFromWire(record.session))
  }
  return base
}

/**
 * Writes all of it as one segment. `format` says first that it is not in force, so whatever stops this leaves a store that nobody uses, and
 * the command can be given again. What was here before is a part of what comes.
 */
function receive(store: FileStore, moving: Moving, from: string): void {
  const { layout, modes } = store
  const { disk, clock } = store.options
  const standing = standingOf(store)
  if (standing.kind === 'in-use') throw usage(`${store.location} has leases of its own`, 'two sets of leases cannot become one')
  const { dev, ino } = disk.lstatSync(layout.directory)
  const { space, limits } = moving
  const versions = { format: formatVersion, min_reader: formatVersion, min_writer: formatVersion }
  const format: Format = { ...readFormat(disk, layout), ...versions, space, limits, device: dev, inode: ino, move: { from } }
  writeFormat(disk, layout, format, modes)
  const now = clock.now()
  const first = moving.entries[0]
  const seen = moving.base.clocks.current.b === '' && first !== undefined ? { current: first.clk, seen: [first.clk.b] } : moving.base.clocks
  const base = { ...moving.base, clocks: seen.current.b === '' ? { current: { b: now.b, m: now.m }, seen: [now.b] } : seen }
  const position = { seq: base.seq, sum: firstPrev }
  const checkpoint = sealCheckpoint({
    state: stateOf(base),
    remembered: [],
    position,
    space,
    auditFrom: base.seq + 1,
    clk: base.clocks.current,
    at: now.wall,
  })
  const lines = [...checkpoint.lines]
  let { sum } = checkpoint
  for (const entry of lawful(moving, stateOf(base), now)) {
    const sealed = sealEntry(entry, sum)
    lines.push(sealed.line)
    ;({ sum } = sealed)
  }
  removeIfPresent(disk, layout.newLog)
  const fd = createFile(disk, layout.newLog, modes.file)
  try {
    const { error } = writeFully(disk, fd, Buffer.from(lines.join('')))
    if (error !== null) throw error
    disk.fsyncSync(fd)
  } finally {
    disk.closeSync(fd)
  }
  for (const { file } of listArchive(disk, layout)) removeIfPresent(disk, file)
  removeIfPresent(disk, layout.index)
  disk.renameSync(layout.newLog, layout.log)
  syncDirectory(disk, layout.archive)
  syncDirectory(disk, layout.directory)
  unpoison(disk, layout)
}
