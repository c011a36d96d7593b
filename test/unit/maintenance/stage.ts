import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Coordinator } from '../../../src/coordinator.ts'
import { defaultPolicy } from '../../../src/core/policy.ts'
import type { Wire } from '../../../src/core/wire.ts'
import { seal } from '../../../src/store/file/record.ts'
import type { FileStore } from '../../../src/store/file/store.ts'
import type { Maintenance } from '../../../src/store/maintenance.ts'
import type { OpenFileOptions } from '../../../src/store/open.ts'
import { openFileStore, openMaintenance } from '../../../src/store/open.ts'
import { StillClock, holder } from '../../support/cast.ts'

/** A store in a directory of its own, on a clock that stands still, and those who look after it. */
export interface Stage {
  readonly root: string
  readonly directory: string
  readonly clock: StillClock
  readonly store: FileStore
  readonly coordinator: Coordinator
  readonly maintenance: Maintenance
  /** One more process's view of the same store. */
  open(more?: Partial<OpenFileOptions>): FileStore
  file(...names: readonly string[]): string
  /** The log's lines, parsed. */
  // oxlint-disable-next-line typescript/no-explicit-any -- parsed JSON
  records(...names: readonly string[]): any[]
}

export async function stage(
  more: Partial<OpenFileOptions> = {},
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'lh-maintain-')),
): Promise<Stage> {
  const directory = path.join(root, 'leasehold')
  const clock = new StillClock()
  const open = (again: Partial<OpenFileOptions> = {}): FileStore =>
    openFileStore({
      directory,
      clock,
      shared: false,
      lockWaitMs: 5000,
      retention: { segmentBytes: 1 << 20, maxAgeMs: 90 * 86_400_000, maxBytes: 256 << 20 },
      limits: { max_indefinite_leases_per_agent: 2, max_indefinite_leases_per_repo: 10 },
      limitsChosen: [],
      allowUnsafeFs: false,
      resident: false,
      ...more,
      ...again,
    })
  const store = open()
  const file = (...names: readonly string[]): string => path.join(directory, ...names)
  return {
    root,
    directory,
    clock,
    store,
    coordinator: new Coordinator(store, defaultPolicy, 'test'),
    maintenance: await openMaintenance(store),
    open,
    file,
    records: (...names) => linesOf(file(...names)).map(line => JSON.parse(line)),
  }
}

export const linesOf = (file: string): readonly string[] => fs.readFileSync(file, 'utf8').split('\n').slice(0, -1)

/** Takes keys one after the other; each is a record. */
export async function take({ coordinator }: Pick<Stage, 'coordinator'>, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const answer = await coordinator.acquire({ holder: holder('agent:ann') }, { resources: [`ticket:${name}`] })
    if (!answer.ok) throw new Error(`${name} was refused`)
  }
}

export async function giveBack({ coordinator }: Pick<Stage, 'coordinator'>, name: string, outcome?: string): Promise<void> {
  const request = { target: { resource: `ticket:${name}` }, ...(outcome === undefined ? {} : { outcome }) }
  const answer = await coordinator.release({ holder: holder('agent:ann') }, request)
  if (!answer.ok) throw new Error(`${name} was not given back`)
}

/** Keys that are held now, in order. */
export async function held(store: FileStore): Promise<readonly string[]> {
  const view = await store.view()
  return [...view.all()].map(({ resource }) => resource).toSorted()
}

/** A forger's log: every checksum and every link is right, whatever the records say. Returns the last sum. */
export function forge(file: string, records: readonly Wire[]): string {
  let prev: string | null = null
  const lines = records.map(record => {
    const { sum: _, ...rest } = record
    const sealed = seal(prev === null ? rest : { ...rest, prev })
    prev = sealed.sum
    return sealed.line
  })
  fs.writeFileSync(file, lines.join(''))
  return prev!
}

/** Overwrites one byte. */
export function flip(file: string, offset: number): void {
  const bytes = fs.readFileSync(file)
  bytes[offset] = bytes[offset]! ^ 1
  fs.writeFileSync(file, bytes)
}
