import fs from 'node:fs'
import path from 'node:path'
import { Fault } from '../../core/fault.ts'
import { editing, makeDirectories, putText } from '../../host/edit-file.ts'
import type { Workspace } from './workspace.ts'

export interface Prepared {
  readonly made: readonly string[]
  readonly kept: readonly string[]
  readonly agent: string | null
}

const configTemplate = `# Settings of this repository for Leasehold. To see every key, its value and where it comes from: lh config list
`

/** Makes what a repository needs: the store, `.leasehold/config.yaml` and lines in `.gitattributes`. What is there stays as it is. `ensureAttributes` adds those lines and says whether it had to. */
export async function prepareRepository(workspace: Workspace, ensureAttributes: (root: string) => boolean): Promise<Prepared> {
  const made: string[] = []
  const kept: string[] = []
  const note = (wasMade: boolean, what: string): void => void (wasMade ? made : kept).push(what)
  const { repository, store } = workspace
  const identity = await workspace.identify().catch(() => null)
  // Elsewhere than in files it is somebody else's to make, and mostly there already.
  const isNew = store.location.startsWith('file:') && !fs.existsSync(path.join(store.location.slice('file:'.length), 'format'))
  // A sweep decides nothing where nothing has expired, and opening the store for it makes what is missing and proves that it can be locked.
  await workspace.coordinator.sweep(workspace.system())
  note(isNew, store.location)
  if (repository.root !== null) {
    note(makeConfig(repository.root), path.join('.leasehold', 'config.yaml'))
    note(ensureAttributes(repository.root), '.gitattributes')
  }
  return { made, kept, agent: identity?.holder.agentId ?? null }
}

function makeConfig(root: string): boolean {
  const directory = path.join(root, '.leasehold')
  const stat = fs.lstatSync(directory, { throwIfNoEntry: false })
  if (stat !== undefined && !stat.isDirectory())
    throw new Fault('usage', `${directory} is not a directory`, { hint: 'move it away, then run lh init again' })
  makeDirectories(directory)
  const file = path.join(directory, 'config.yaml')
  if (fs.lstatSync(file, { throwIfNoEntry: false }) !== undefined) return false
  return editing(file, real => {
    // Somebody may have set something meanwhile.
    if (fs.lstatSync(real, { throwIfNoEntry: false }) !== undefined) return false
    putText(real, null, configTemplate, 0o644)
    return true
  })
}
