import { isFault } from '../../core/fault.ts'
import type { Finding, Maintenance, Severity } from '../../store/maintenance.ts'
import type { Report } from './report.ts'
import { bad, count, fine } from './report.ts'

/** More findings, from parts that the store knows nothing of. */
export type FindingHook = () => Promise<readonly Finding[]> | readonly Finding[]

export interface DoctorRequest {
  readonly maintenance: Maintenance
  /** Ids of the repository's worktrees; null when they are not known. */
  readonly worktreeIds: ReadonlySet<string> | null
  /** Mend what can be mended without losing anything, and end what time or a death has ended. */
  readonly fix: boolean
  /** Ends expired and dead leases; returns how many. */
  readonly sweep: () => Promise<number>
  readonly hooks: readonly FindingHook[]
}

/** `lh doctor`: everything that is wrong; exit 2 when an error is among it. With `fix`, what is still wrong afterwards. */
export async function doctorReport(request: DoctorRequest): Promise<Report> {
  const fixed = request.fix ? await fix(request) : { done: [], findings: [] }
  return doctorFound([...fixed.findings, ...(await inspected(request))], request.fix ? fixed.done : null)
}

/** The report of these findings. `fixed`: what was mended before, null where nothing was to be. */
export function doctorFound(found: readonly Finding[], fixed: readonly string[] | null = null): Report {
  const findings = found.toSorted((a, b) => weight[a.severity] - weight[b.severity])
  const errors = findings.filter(({ severity }) => severity === 'error')
  const document = { findings, count: findings.length, ...(fixed === null ? {} : { fixed }) }
  const lines = [...(fixed ?? []).map(done => `fixed: ${done}`), ...shown(findings), summary(findings)]
  if (errors.length === 0) return fine(document, lines)
  const [first] = errors
  return bad(
    { code: 'usage', exit: 2, message: `${count(errors.length, 'error')}: ${first!.message}`, hint: first!.fix ?? 'see the findings' },
    document,
    lines,
  )
}

const weight: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 }

async function inspected({ maintenance, worktreeIds, hooks }: DoctorRequest): Promise<readonly Finding[]> {
  const found = [...(await maintenance.inspect({ worktreeIds }))]
  for (const hook of hooks) {
    try {
      found.push(...(await hook()))
    } catch (error) {
      found.push(failure(error))
    }
  }
  return found
}

/** What cannot be fixed without losing something stays a finding. */
async function fix({
  maintenance,
  sweep,
}: DoctorRequest): Promise<{ readonly done: readonly string[]; readonly findings: readonly Finding[] }> {
  try {
    const { mended, removed, index } = await maintenance.recover({ cut: false })
    // Without a store there is nothing to sweep, and a sweep would make one.
    const ended = index === 'none' && mended.length === 0 ? 0 : await sweep()
    return {
      done: [
        ...mended,
        ...removed.map(file => `removed ${file}`),
        ...(ended > 0 ? [`ended ${count(ended, 'lease')} of expired or dead holders`] : []),
      ],
      findings: [],
    }
  } catch (error) {
    return { done: [], findings: [failure(error)] }
  }
}

function failure(error: unknown): Finding {
  const known = isFault(error)
  const message = error instanceof Error ? error.message : String(error)
  return { severity: 'error', code: 'not-fixed', file: null, line: null, message, fix: known ? (error.hint ?? null) : null }
}

/** Findings of one kind that are shown to people; the document has them all. */
const maxShown = 10

/** Of each kind the first ones, and where the next would stand how many there are. */
function shown(findings: readonly Finding[]): readonly string[] {
  const total = new Map<string, number>()
  for (const { code } of findings) total.set(code, (total.get(code) ?? 0) + 1)
  const seen = new Map<string, number>()
  return findings.flatMap(finding => {
    const { code } = finding
    const before = seen.get(code) ?? 0
    seen.set(code, before + 1)
    if (before < maxShown) return described(finding)
    return before > maxShown ? [] : [`and ${total.get(code)! - maxShown} more of these (${code}); to see all of them: lh doctor --json`]
  })
}

function described({ severity, file, line, message, fix }: Finding): readonly string[] {
  const where = file === null || message.includes(file) ? '' : `${file}${line === null ? '' : `:${line}`}: `
  return [`${severity}: ${where}${message}`, ...(fix === null ? [] : [`    ${fix}`])]
}

function summary(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'all is well'
  const of = (wanted: Severity): number => findings.filter(({ severity }) => severity === wanted).length
  return `${count(of('error'), 'error')}, ${count(of('warning'), 'warning')}, ${of('info')} to know`
}
