import type { Adoption, Maintenance } from '../../store/maintenance.ts'
import type { Report } from './report.ts'
import { fine } from './report.ts'

/**
 * `lh doctor --moved | --copied | --restored`. After a copy, `clearHeld` forgets what the original was granted; it returns warnings.
 * `note` writes down which leases these are, where the repository uses a store elsewhere; it tells whether it had to.
 */
export async function adoptReport(
  maintenance: Maintenance,
  how: Adoption,
  clearHeld: () => readonly string[] | Promise<readonly string[]> = () => [],
  note: (space: string) => Promise<boolean> = () => Promise.resolve(false),
): Promise<Report> {
  const { changed, space, quarantine, lastSeq } = await maintenance.adopt(how)
  const warnings = changed && how === 'copied' ? await clearHeld() : []
  const isNoted = await note(space)
  const document = { changed, adopted: changed ? how : null, space, quarantine, last_seq: lastSeq, findings: [], count: 0 }
  return {
    ...fine(document, [
      changed || !isNoted ? sentence(changed, how, quarantine) : 'from now on the leases of this repository are the ones that are there',
    ]),
    warnings,
  }
}

function sentence(changed: boolean, how: Adoption, quarantine: string | null): string {
  if (how === 'restored') return 'the leases of the backup go on; tokens are larger from now on than any that was given before'
  if (!changed) return 'nothing to do: this is the directory that the store was made in'
  if (how === 'moved') return 'the store was moved here; its leases go on'
  return `the store is a copy: it begins a set of leases of its own, without any${quarantine === null ? '' : `; the copied log is ${quarantine}`}`
}
