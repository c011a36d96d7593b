import fs from 'node:fs'
import { usage } from '../core/fault.ts'
import { systemClock } from '../host/clock.ts'
import { kernelLock } from '../host/kernel-lock.ts'
import { FileStore, statfsType } from './file/store.ts'
import type { FileStoreOptions } from './file/options.ts'
import type { EtcdSettings } from './etcd/open.ts'
import type { EtcdStore } from './etcd/store.ts'
import type { Elsewhere, Home } from './home.ts'
import type { Maintenance } from './maintenance.ts'
import type { MoveEnd } from './move.ts'
import type { Store } from './store.ts'

/** How a store is looked after; loaded on use. */
export const openMaintenance = async (store: Store): Promise<Maintenance> =>
  isFileStore(store)
    ? (await import('./file/maintenance.ts')).maintenanceOf(store)
    : (await import('./etcd/maintenance.ts')).maintenanceOf(store as EtcdStore)

/** A store as one end of a move; loaded on use. */
export const openMoveEnd = async (store: Store): Promise<MoveEnd> =>
  isFileStore(store) ? (await import('./file/move.ts')).fileEnd(store) : (await import('./etcd/move.ts')).etcdEnd(store as EtcdStore)

/** Told by what it has: `leasehold/testing` has a copy of the class of its own. */
export const isFileStore = (store: Store): store is FileStore => 'layout' in store

export type { FileStoreOptions } from './file/options.ts'

/** What opening a file store needs to be told; the machine's own parts are filled in. */
export type OpenFileOptions = Omit<FileStoreOptions, 'clock' | 'disk' | 'lock' | 'fileSystemType'> &
  Partial<Pick<FileStoreOptions, 'clock' | 'disk' | 'lock' | 'fileSystemType'>>

/**
 * Opens the store in a directory on this machine. Nothing is read or made before the first use. Throws `usage` where settings say that the
 * leases are elsewhere: there they could be granted beside whoever holds them.
 */
export function openFileStore(options: OpenFileOptions & Pick<OpenStoreOptions, 'etcd' | 'elsewhere'>): FileStore {
  const name = options.elsewhere?.name ?? options.etcd?.url
  if (name !== undefined)
    throw usage(
      `the settings of this repository say store: ${name}, and openFileStore opens files beside it`,
      'open what the settings say: Workspace.open({ …, open: openStore })',
    )
  return openFiles(options)
}

const openFiles = (options: OpenFileOptions): FileStore =>
  new FileStore({ clock: systemClock(), disk: fs, lock: kernelLock(), fileSystemType: statfsType, ...options })

/** Opens the store that the configuration names. The code of etcd is loaded where it is asked for, and nowhere else. */
export const openStore = (options: OpenStoreOptions): FileStore | Promise<Store> =>
  options.elsewhere === undefined ? openNamed(options) : openElsewhere(options, options.elsewhere)

/** What opening the store of a configuration needs to be told. */
export type OpenStoreOptions = OpenFileOptions & {
  readonly etcd?: EtcdSettings
  /** Set where it is not the one beside the repository: that one says whether it is the right one. */
  readonly elsewhere?: Elsewhere
}

const openNamed = (options: OpenStoreOptions): FileStore | Promise<Store> =>
  options.etcd === undefined ? openFiles(options) : openEtcd(options, options.etcd)

async function openElsewhere(options: OpenStoreOptions, elsewhere: Elsewhere): Promise<Store> {
  const { enter, notedSpace } = await import('./home.ts')
  const home = await openHome({ ...options, directory: elsewhere.directory })
  const seen = home.whereabouts()
  const space = notedSpace(seen, elsewhere)
  const store = await openNamed(space === null ? options : { ...options, noted: { space, beside: elsewhere.directory } })
  const prepare = async (): Promise<void> => (isFileStore(store) ? store.lockedOnly('store', () => undefined) : undefined)
  await enter(store, elsewhere, home, seen, () => openMoveEnd(store), prepare)
  return store
}

/** The store beside a repository, as the one that knows where the leases are. What kind of file system it is on says nothing of where they are. */
export const openHome = async (options: OpenFileOptions): Promise<Home> =>
  (await import('./file/home.ts')).homeOf(openFiles({ ...options, allowUnsafeFs: true, resident: false }))

const openEtcd = async (options: OpenFileOptions, etcd: EtcdSettings): Promise<Store> =>
  (await import('./etcd/open.ts')).openEtcdStore({
    etcd,
    clock: options.clock ?? systemClock(),
    localDirectory: options.directory,
    shared: options.shared,
    lockWaitMs: options.lockWaitMs,
    limits: options.limits,
    limitsChosen: options.limitsChosen,
  })
