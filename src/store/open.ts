import fs from 'node:fs'
import { systemClock } from '../host/clock.ts'
import { kernelLock } from '../host/kernel-lock.ts'
import { FileStore, statfsType } from './file/store.ts'
import type { FileStoreOptions } from './file/store.ts'
import type { Maintenance } from './maintenance.ts'

/** The maintenance of a file store; loaded on use. */
export const openMaintenance = async (store: FileStore): Promise<Maintenance> =>
  (await import('./file/maintenance.ts')).maintenanceOf(store)

export type { FileStoreOptions } from './file/store.ts'

/** What opening a file store needs to be told; the machine's own parts are filled in. */
export type OpenFileOptions = Omit<FileStoreOptions, 'clock' | 'disk' | 'lock' | 'fileSystemType'> &
  Partial<Pick<FileStoreOptions, 'clock' | 'disk' | 'lock' | 'fileSystemType'>>

/** Opens the store in a directory on this machine. Nothing is read or made before the first use. */
export const openFileStore = (options: OpenFileOptions): FileStore =>
  new FileStore({ clock: systemClock(), disk: fs, lock: kernelLock(), fileSystemType: statfsType, ...options })
