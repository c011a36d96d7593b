import path from 'node:path'
import type { Compacted, Maintenance } from '../maintenance.ts'
import { adopt, setLimits } from './adopt.ts'
import { listArchive } from './archive.ts'
import { accessFault, lookAt } from './directory.ts'
import { inspect } from './inspect.ts'
import { loadWhole } from './load.ts'
import { recover } from './recover.ts'
import { rotate } from './rotate.ts'
import type { FileStore } from './store.ts'
import { verifyLog } from './verify.ts'

/** How a file store is looked after. */
export const maintenanceOf = (store: FileStore): Maintenance => ({
  location: store.location,
  // oxlint-disable-next-line typescript/require-await -- the interface is asynchronous, reading files is not
  verify: async onProgress => {
    store.refuseAbsent()
    try {
      return verifyLog(store.options.disk, store.layout, onProgress)
    } catch (error) {
      throw accessFault(error, store.layout.directory)
    }
  },
  recover: ({ cut }) => recover(store, cut),
  inspect: options => inspect(store, options),
  adopt: how => adopt(store, how),
  compact: () => compact(store),
  setLimits: limits => setLimits(store, limits),
})

/** Starts a new segment now, unless there is no record that could be put away. */
async function compact(store: FileStore): Promise<Compacted> {
  store.refuseAbsent()
  const { layout, modes } = store
  const { disk, retention } = store.options
  const bytes = (): number => lookAt(disk, layout.log)?.size ?? 0
  const names = (): readonly string[] => listArchive(disk, layout).map(({ file }) => path.basename(file))
  if (lookAt(disk, layout.log) === null && lookAt(disk, layout.format) === null) return { bytesBefore: 0, bytesAfter: 0, archived: [] }
  const [bytesBefore, before] = [bytes(), names()]
  return store.exclusively('log compact', (fd, _, now) => {
    const { fold } = loadWhole(disk, fd, disk.fstatSync(fd).size)
    // The store closes its own descriptor after this.
    if (fold !== null && fold.records > 0) disk.closeSync(rotate(disk, layout, modes, fd, now, retention).fd)
    return { bytesBefore, bytesAfter: bytes(), archived: names().filter(name => !before.includes(name)) }
  })
}
