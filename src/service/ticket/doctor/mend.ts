import { lstatSync, readdirSync, rmSync } from 'node:fs'
import { isUtf8 } from 'node:buffer'
import { dirname, join } from 'node:path'
import { isFault } from '../../../core/fault.ts'
import type { Holder, Lease } from '../../../core/lease.ts'
import { sameHolder } from '../../../core/lease.ts'
import { isoFromMs } from '../../../core/time.ts'
import type { TicketEvent } from '../events.ts'
import { appendEvents, maxEventBytes, mintEventId } from '../events.ts'
import { hashOf, readRegular, replaceFile } from '../files.ts'
import type { Code, Diagnosis } from './finding.ts'
import { warning } from './finding.ts'

/** One thing that was mended. */
export interface Fixed {
  readonly file: string
  readonly code: Code
  /** Unified, for `git apply`; for a directory that was removed, what was in it. */
  readonly diff: string
}

/** Who mends, and whose work must be left alone. */
export interface Surgeon {
  /** Top of the worktree. */
  readonly root: string
  /** Null: nobody in particular. */
  readonly holder: Holder | null
  /** Live leases of tickets. */
  readonly claims: ReadonlyMap<string, Lease>
  readonly nowMs: number
}

/** What was mended, and what could not be. */
export interface Mended {
  readonly fixed: readonly Fixed[]
  readonly left: readonly Diagnosis[]
}

/** Mends what can be mended without losing anything. A file that somebody writes meanwhile, or whose ticket another holds, stays as it is. */
export async function mendTickets(diagnoses: readonly Diagnosis[], surgeon: Surgeon): Promise<Mended> {
  const fixed: Fixed[] = []
  const left: Diagnosis[] = []
  for (const [file, ofFile] of byFile(diagnoses)) {
    try {
      const holder = otherHolder(file, surgeon)
      if (holder !== null) left.push(notFixed(file, `${holder} holds it, so it was not touched`, 'run it again when the ticket is free'))
      else if (ofFile.some(({ mend }) => mend?.kind === 'remove')) fixed.push(remove(file, ofFile[0]!.code, surgeon))
      else fixed.push(...(await edit(file, ofFile, surgeon)))
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause)
      left.push(notFixed(file, message, isFault(cause) && cause.hint !== undefined ? cause.hint : 'mend it by hand'))
    }
  }
  return { fixed, left }
}

const notFixed = (file: string, why: string, fix: string): Diagnosis => warning('not-fixed', { file }, `not mended: ${why}`, fix)

function byFile(diagnoses: readonly Diagnosis[]): ReadonlyMap<string, readonly Diagnosis[]> {
  const files = new Map<string, Diagnosis[]>()
  for (const diagnosis of diagnoses) {
    const { file, mend } = diagnosis
    if (file === null || mend === null) continue
    const others = files.get(file)
    if (others === undefined) files.set(file, [diagnosis])
    else others.push(diagnosis)
  }
  return files
}

const ticketFile = /\/([^/]+)\/ticket\.md$/

/** Whoever else may be writing this `ticket.md`. Events need nobody's lease. */
function otherHolder(file: string, { claims, holder }: Surgeon): string | null {
  const id = ticketFile.exec(file)?.[1]
  const lease = id === undefined ? undefined : claims.get(id)
  return lease === undefined || (holder !== null && sameHolder(lease.holder, holder)) ? null : lease.holder.agentId
}

async function edit(file: string, diagnoses: readonly Diagnosis[], surgeon: Surgeon): Promise<readonly Fixed[]> {
  const path = join(surgeon.root, file)
  const found = readRegular(path, maxEventBytes)
  if (found !== 'missing' && (typeof found === 'string' || !isUtf8(found))) return []
  const before = found === 'missing' ? '' : found.toString('utf8')
  const fixed: Fixed[] = []
  let text = before
  for (const code of new Set(diagnoses.map(diagnosis => diagnosis.code))) {
    const next = diagnoses.reduce((now, { code: own, mend }) => (own === code && mend?.kind === 'edit' ? mend.edit(now) : now), text)
    if (next === text) continue
    fixed.push({ file, code, diff: await diffOf(file, text, next, text === '' && found === 'missing') })
    text = next
  }
  if (text === before) return []
  replaceFile(path, text, found === 'missing' ? null : hashOf(found))
  return ticketFile.test(file) ? [...fixed, ...(await record(file, fixed, surgeon))] : fixed
}

/** A change of a `ticket.md` has an event, also when it is a doctor's. */
async function record(file: string, fixed: readonly Fixed[], { root, holder, nowMs }: Surgeon): Promise<readonly Fixed[]> {
  const codes = fixed.map(({ code }) => code)
  const keys = [...new Set(codes.map(code => (code === 'missing-field' ? 'workflow_state' : 'depends_on')))]
  const event: TicketEvent = {
    id: mintEventId(nowMs),
    type: 'edited',
    at: isoFromMs(nowMs),
    actor: holder?.agentId ?? 'system',
    keys,
    reason: `lh ticket doctor --fix: ${codes.join(', ')}`,
  }
  const directory = dirname(file)
  const eventsFile = `${directory}/events.jsonl`
  const before = readRegular(join(root, eventsFile), maxEventBytes)
  appendEvents(join(root, directory), [event])
  const after = readRegular(join(root, eventsFile), maxEventBytes)
  if (typeof after === 'string') return []
  const text = typeof before === 'string' ? '' : before.toString('utf8')
  return [{ file: eventsFile, code: codes[0]!, diff: await diffOf(eventsFile, text, after.toString('utf8'), before === 'missing') }]
}

function remove(file: string, code: Code, { root }: Surgeon): Fixed {
  const path = join(root, file)
  const inside = lstatSync(path).isDirectory()
    ? readdirSync(path, { recursive: true, encoding: 'utf8' }).toSorted((a, b) => (a < b ? -1 : 1))
    : []
  rmSync(path, { recursive: true })
  return {
    file,
    code,
    diff: [`removed ${file}${inside.length === 0 ? '' : '/'}`, ...inside.map(name => `removed ${file}/${name}`)].join('\n').concat('\n'),
  }
}

/** As Git writes it. The library is loaded only when there is something to show. */
async function diffOf(file: string, before: string, after: string, fresh: boolean): Promise<string> {
  const { createTwoFilesPatch, FILE_HEADERS_ONLY } = await import('diff')
  return createTwoFilesPatch(fresh ? '/dev/null' : `a/${file}`, `b/${file}`, before, after, undefined, undefined, {
    context: 3,
    headerOptions: FILE_HEADERS_ONLY,
  })
}
