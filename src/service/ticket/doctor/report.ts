import type { Finding, Severity } from '../../../store/maintenance.ts'
import type { Report } from '../../maintenance/report.ts'
import { bad, count, fine } from '../../maintenance/report.ts'
import type { Holder, Lease } from '../../../core/lease.ts'
import { claimsOf } from './claims.ts'
import type { Diagnosis } from './finding.ts'
import { findingOf } from './finding.ts'
import type { Inspection, Patient } from './inspect.ts'
import { inspectTickets } from './inspect.ts'
import type { Fixed } from './mend.ts'

/** What `lh ticket doctor` is asked. */
export interface TicketDoctorRequest extends Omit<Patient, 'worktreesToo'> {
  readonly fix: boolean
  /** Who asks, where that is known: what it holds itself may be mended. */
  readonly holder: Holder | null
}

/** The faults of the tickets, for `lh doctor`, which says by itself which leases are of worktrees that are gone. */
export async function ticketFindings(patient: Omit<Patient, 'worktreesToo'>): Promise<readonly Finding[]> {
  const { diagnoses } = await inspectTickets({ ...patient, worktreesToo: false })
  return diagnoses.map(findingOf)
}

/** `lh ticket doctor`: everything that is wrong; exit 2 when an error is among it. With `fix`, what is still wrong afterwards. */
export async function ticketDoctorReport(request: TicketDoctorRequest): Promise<Report> {
  const { inspection, fixed } = await examined(request)
  const findings = inspection.diagnoses.map(findingOf)
  const errors = findings.filter(({ severity }) => severity === 'error')
  const document = { findings, count: findings.length, ...(request.fix ? { fixed } : {}) }
  const lines = [...fixed.flatMap(shownFix), ...shown(findings), summary(findings, inspection.tickets)]
  const [first] = errors
  if (first === undefined) return fine(document, lines)
  const message = `${count(errors.length, 'error')}: ${first.file === null ? '' : `${placeOf(first)}: `}${first.message}`
  return bad({ code: 'usage', exit: 2, message, hint: first.fix ?? 'see the findings' }, document, lines)
}

/** Mending may bring to light what can be mended as well. */
const maxRounds = 3

async function examined(request: TicketDoctorRequest): Promise<{ readonly inspection: Inspection; readonly fixed: readonly Fixed[] }> {
  const patient: Patient = { ...request, worktreesToo: true }
  const fixed: Fixed[] = []
  let left: readonly Diagnosis[] = []
  let inspection = await inspectTickets(patient)
  const { fix, holder, nowMs, reading, repository } = request
  const { root } = repository
  if (fix && root !== null) {
    const claims = reading === null ? new Map<string, Lease>() : claimsOf(reading)
    for (let round = 1; round <= maxRounds && inspection.diagnoses.some(({ mend }) => mend !== null); round++) {
      const { mendTickets } = await import('./mend.ts')
      const mended = await mendTickets(inspection.diagnoses, { root, holder, claims, nowMs })
      fixed.push(...mended.fixed)
      left = mended.left
      if (mended.fixed.length === 0) break
      inspection = await inspectTickets(patient)
    }
  }
  const diagnoses = [...inspection.diagnoses, ...left].toSorted(byPlace)
  return { inspection: { ...inspection, diagnoses }, fixed }
}

const weight: Readonly<Record<Severity, number>> = { error: 0, warning: 1, info: 2 }

/** Files with errors come first, then those with warnings; in a file as well, and there from its top down. */
function byPlace(a: Finding, b: Finding): number {
  return (
    weight[a.severity] - weight[b.severity] ||
    compare(a.file ?? '', b.file ?? '') ||
    (a.line ?? 0) - (b.line ?? 0) ||
    compare(a.code, b.code)
  )
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Grouped by file, in the order of each file's worst finding. */
function shown(findings: readonly Finding[]): readonly string[] {
  const groups = new Map<string, Finding[]>()
  for (const finding of findings) {
    const name = finding.file ?? 'the log of claims'
    const others = groups.get(name)
    if (others === undefined) groups.set(name, [finding])
    else others.push(finding)
  }
  return [...groups].flatMap(([name, ofFile]) => [
    name,
    ...ofFile.flatMap(({ severity, line, code, message, fix }) => [
      `  ${line === null ? '' : `${line}: `}${severity}: ${message} (${code})`,
      ...(fix === null ? [] : [`      ${fix}`]),
    ]),
  ])
}

const placeOf = ({ file, line }: Finding): string => `${file}${line === null ? '' : `:${line}`}`

const shownFix = ({ file, code, diff }: Fixed): readonly string[] => [`fixed ${file} (${code})`, ...diff.trimEnd().split('\n')]

function summary(findings: readonly Finding[], tickets: number): string {
  const looked = count(tickets, 'ticket')
  if (findings.length === 0) return tickets === 0 ? 'no tickets here; all is well' : `${looked}, all is well`
  const of = (wanted: Severity): number => findings.filter(({ severity }) => severity === wanted).length
  return `${looked}: ${count(of('error'), 'error')}, ${count(of('warning'), 'warning')}, ${of('info')} to know`
}
