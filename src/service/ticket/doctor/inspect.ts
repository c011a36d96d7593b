import { lstatSync, readdirSync, type Dirent } from 'node:fs'
import { shellWord } from '../../../core/shell-word.ts'
import { isUtf8 } from 'node:buffer'
import { join } from 'node:path'
import type { Lease } from '../../../core/lease.ts'
import type { Repository } from '../../../host/git.ts'
import type { Reading } from '../../../store/store.ts'
import type { Catalogue } from '../catalogue.ts'
import type { TicketEvent } from '../events.ts'
import { maxEventBytes } from '../events.ts'
import { lineOfBadByte, maxTicketBytes, ticketsDirectory } from '../files.ts'
import { idPattern } from '../ticket.ts'
import { badEnd, gateResults, unsaidEdits } from './agreement.ts'
import { attributeFaults, ignoreFaults } from './attributes.ts'
import { claimFaults, claimsOf, startFaults } from './claims.ts'
import { elsewhereIn } from './elsewhere.ts'
import { readEventFile } from './events.ts'
import type { Diagnosis } from './finding.ts'
import { error, info, warning } from './finding.ts'
import type { Yaml } from './front-matter.ts'
import { readFrontMatter } from './front-matter.ts'
import { gateFaults } from './gates.ts'
import { lineOfItem, lineOfKey } from './lines.ts'
import type { Known, Lines } from './links.ts'
import { linkFaults } from './links.ts'
import { Window } from './window.ts'
import { worktreePlaces } from './worktrees.ts'

/** What a doctor looks at. */
export interface Patient {
  readonly repository: Repository
  readonly catalogue: Catalogue
  /** The log; null where it cannot be read, and then nothing is said of claims. */
  readonly reading: Reading | null
  /** Wall clock, milliseconds since the epoch. */
  readonly nowMs: number
  /** Id of this worktree. */
  readonly worktreeId: string | null
  /** Other clones may keep their leases in this log, too: a worktree that is not known here may be theirs, with tickets of its own. */
  readonly otherClones: boolean
  /** False: somebody else says which claims are of worktrees that Git does not know any more. */
  readonly worktreesToo: boolean
}

/** What was found, and in how many tickets. */
export interface Inspection {
  readonly diagnoses: readonly Diagnosis[]
  readonly tickets: number
}

/** From the top of the worktree, with `/`. */
export const ticketsFolder = '.leasehold/tickets'

const yaml = (): Promise<Yaml> => import('../front-matter.ts')

/** Looks at every ticket of this worktree, each file once, and at what the log says of them. Changes nothing; never throws for what it finds. */
export async function inspectTickets(patient: Patient): Promise<Inspection> {
  const { repository, catalogue, reading } = patient
  const diagnoses: Diagnosis[] = []
  const known = new Map<string, Known>()
  const { root } = repository
  const claims = reading === null ? new Map<string, Lease>() : claimsOf(reading)
  const lines = linesIn(root ?? '')
  if (root !== null) {
    const started = { claims, lines, here: patient.worktreeId }
    for (const directory of ticketDirectories(root, patient.nowMs, diagnoses)) {
      const read = await readDirectory(root, directory, diagnoses)
      lines.opened(read)
      if (read === null) continue
      known.set(directory, read.known)
      if (reading !== null && !read.known.guessed) diagnoses.push(...startFaults(read.known, read.startedAt, started))
    }
  }
  const elsewhere = elsewhereIn(catalogue, diagnoses)
  diagnoses.push(...(await linkFaults({ known, elsewhere, lines, yaml })), ...(await gateFaults(repository, known, lines)))
  // Before there are tickets, a claim of a bare word is nobody's mistake.
  if (reading !== null && claims.size > 0 && (known.size > 0 || elsewhere.ids().length > 0)) {
    const places = worktreePlaces(repository)
    const { worktreeId: here, otherClones, worktreesToo } = patient
    diagnoses.push(...(await claimFaults({ known, elsewhere, lines, reading, claims, places, here, otherClones, worktreesToo, yaml })))
  }
  if (root !== null && known.size > 0) diagnoses.push(...attributeFaults(root, repository), ...ignoreFaults(repository))
  return { diagnoses, tickets: known.size }
}

/** Names of the directories that may hold a ticket, in order; says what else is there. */
function* ticketDirectories(root: string, nowMs: number, diagnoses: Diagnosis[]): Generator<string> {
  for (const folder of ['.leasehold', ticketsFolder]) {
    if (lstatSync(join(root, folder), { throwIfNoEntry: false })?.isSymbolicLink() !== true) continue
    diagnoses.push(link(folder))
    return
  }
  let entries: Dirent[]
  try {
    entries = readdirSync(ticketsDirectory(root), { withFileTypes: true })
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code !== 'ENOENT')
      diagnoses.push(error('unreadable', { file: ticketsFolder }, `it cannot be read: ${message}`, `ls -ld ${ticketsFolder}`))
    return
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  for (const entry of entries) {
    const file = `${ticketsFolder}/${entry.name}`
    if (entry.isSymbolicLink()) diagnoses.push(link(file))
    else if (entry.name.startsWith('.tmp-')) diagnoses.push(leftover(root, file, nowMs))
    else if (!entry.isDirectory()) {
      if (!entry.name.startsWith('.git') && entry.name !== 'README.md')
        diagnoses.push(
          warning(
            'stray-file',
            { file },
            'this is no ticket: each has a directory of its own',
            `git mv it elsewhere, or remove it: ${file}`,
          ),
        )
    } else if (idPattern.test(entry.name)) yield entry.name
    else
      diagnoses.push(
        error(
          'bad-directory',
          { file },
          'a ticket cannot have this id: a-z, 0-9, dot, dash and underscore, at most 128, the first a letter or digit',
          `git mv it to a name like 20260607-220225-fix-login, and write that id into its ticket.md`,
        ),
      )
  }
}

/** How long the building of a directory may take, at the very most. */
const abandonedMs = 3_600_000

function leftover(root: string, file: string, nowMs: number): Diagnosis {
  const stats = lstatSync(join(root, file), { throwIfNoEntry: false })
  const old = stats !== undefined && nowMs - stats.mtimeMs > abandonedMs
  return info(
    'leftover',
    { file },
    `a change that was never finished: whoever made it ${old ? 'did not come to its end' : 'may still be at it'}`,
    old ? 'lh ticket doctor --fix removes it' : 'lh ticket doctor --fix removes it when it is an hour old',
    old ? { kind: 'remove' } : undefined,
  )
}

const link = (file: string): Diagnosis =>
  error(
    'symlink',
    { file },
    'this is a symbolic link, which is never followed',
    `look where it leads (ls -l ${file}), then put the content itself here`,
  )

interface ReadDirectory {
  readonly known: Known
  /** When the work on it began, by its events. */
  readonly startedAt: string | null
  /** What `ticket.md` holds, until the next one is read. */
  readonly text: () => string
}

// The two files of a ticket are looked at together.
const ticketWindow = new Window()
const eventsWindow = new Window()

async function readDirectory(root: string, id: string, diagnoses: Diagnosis[]): Promise<ReadDirectory | null> {
  const folder = `${ticketsFolder}/${id}`
  const file = `${folder}/ticket.md`
  const bytes = contentOf(ticketWindow, root, file, maxTicketBytes, diagnoses)
  if (bytes === 'missing') {
    diagnoses.push(
      error(
        'no-ticket-file',
        { file: folder },
        'this directory has no ticket.md',
        `bring it back: git checkout -- ${shellWord(file)}; or remove the directory`,
      ),
    )
  }
  const eventsFile = `${folder}/events.jsonl`
  const eventsBytes = contentOf(eventsWindow, root, eventsFile, maxEventBytes, diagnoses)
  const eventsText = typeof eventsBytes === 'string' ? '' : eventsBytes.toString('utf8')
  const { events, faults } = readEventFile(eventsText, eventsFile)
  diagnoses.push(...faults)
  if (typeof bytes === 'string') return null
  if (eventsBytes !== 'unreadable' && eventsText.trim() === '')
    diagnoses.push(
      warning(
        'events-missing',
        { file: eventsBytes === 'missing' ? file : eventsFile },
        eventsBytes === 'missing' ? 'it has no events.jsonl' : 'nothing is in it: what happened to this ticket is lost',
        `bring it back: git checkout -- ${shellWord(eventsFile)}; or: lh ticket comment ${id} --message …`,
      ),
    )
  const { ticket, writtenId, guessed, faults: own } = await readFrontMatter(bytes, id, file, yaml)
  diagnoses.push(...own)
  const text = (): string => bytes.toString('utf8')
  if (!guessed) {
    const files = { ticket, file, eventsFile, text, eventsText, events }
    diagnoses.push(...unsaidEdits(files), ...gateResults(files))
    if (ticket.status === 'closed') diagnoses.push(...badEnd(files, resolutionOf(root, folder)))
  }
  return { known: { ticket, writtenId, file, guessed }, startedAt: startOf(events), text }
}

const startOf = (events: readonly TicketEvent[]): string | null =>
  events.findLast(({ type, to }) => type === 'claimed' || (type === 'state_changed' && to === 'inprogress'))?.at ?? null

function resolutionOf(root: string, folder: string): 'there' | 'empty' | 'missing' {
  const stats = lstatSync(`${root}/${folder}/resolution.md`, { throwIfNoEntry: false })
  return stats?.isFile() !== true ? 'missing' : stats.size === 0 ? 'empty' : 'there'
}

/** What a file holds, until the next one is read into the window; otherwise `unreadable`, which is said, or `missing`, which is not. */
function contentOf(window: Window, root: string, file: string, limit: number, diagnoses: Diagnosis[]): Buffer | 'missing' | 'unreadable' {
  // Not `join`: it costs as much as opening the file.
  const bytes = window.read(`${root}/${file}`, limit)
  if (bytes === 'missing') return 'missing'
  if (typeof bytes === 'string') {
    diagnoses.push(bytes === 'symbolic link' ? link(file) : error('unreadable', { file }, `it cannot be read: ${bytes}`, `ls -l ${file}`))
    return 'unreadable'
  }
  if (isUtf8(bytes)) return bytes
  diagnoses.push(
    error(
      'not-utf8',
      { file, line: lineOfBadByte(bytes) },
      'it is not UTF-8',
      `write it as UTF-8, for example: iconv -f latin1 -t utf8 ${file}`,
    ),
  )
  return 'unreadable'
}

/** Looks into a file for the line of something, which only happens where something is wrong; into the one that is open not again. */
function linesIn(root: string): Lines & { opened(read: ReadDirectory | null): void } {
  let open: ReadDirectory | null = null
  let last: { readonly file: string; readonly text: string } | null = null
  const text = ({ file }: Known): string => {
    if (last?.file === file) return last.text
    if (open?.known.file === file) last = { file, text: open.text() }
    else {
      const bytes = ticketWindow.read(`${root}/${file}`, maxTicketBytes)
      last = { file, text: typeof bytes === 'string' ? '' : bytes.toString('utf8') }
      // Its place is taken.
      open = null
    }
    return last.text
  }
  return {
    opened: read => void (open = read),
    ofKey: (known, key) => lineOfKey(text(known), key),
    ofItem: (known, key, item, occurrence) => lineOfItem(text(known), key, item, occurrence),
  }
}
