import type { Maintenance } from '../../store/maintenance.ts'
import type { Report } from './report.ts'
import { fine } from './report.ts'

/** `lh recover`: what was mended; faults say what only `--cut` would do. */
export async function recoverReport(maintenance: Maintenance, options: { readonly cut: boolean }): Promise<Report> {
  const { mended, cutLines, cutBytes, quarantine, index, indexTrouble, removed } = await maintenance.recover(options)
  const document = { mended, cut_lines: cutLines, cut_bytes: cutBytes, quarantine, index, removed }
  const lines = [
    ...mended,
    ...removed.map(file => `removed ${file}`),
    ...(index === 'rebuilt' ? ['the index was rebuilt'] : []),
    ...(mended.length === 0 && removed.length === 0 ? ['nothing else was wrong'] : []),
  ]
  if (indexTrouble !== null)
    return {
      ...fine(document, lines),
      warnings: [`the index could not be rebuilt: ${indexTrouble}. Nothing depends on it, but every command reads the log instead`],
    }
  return fine(document, index === 'none' && mended.length === 0 && removed.length === 0 ? ['there is nothing to recover'] : lines)
}
