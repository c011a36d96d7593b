import { closeSync, lstatSync, readdirSync, readSync, type Dirent } from 'node:fs'
import { dirname, join } from 'node:path'
import { Fault, notFound, usage } from '../../core/fault.ts'
import { shellWord } from '../../core/shell-word.ts'
import { mainRoot, type Repository } from '../../host/git.ts'
import { BaseBranch } from './base-branch.ts'
import { branchOf } from '../../host/base-commit.ts'
import { checkDirectory, maxTicketBytes, openForReading, readRegular, ticketsDirectory } from './files.ts'
import type { Problem } from './front-matter.ts'
import { slugInId } from './identify.ts'
import { findFrontMatter, scanTicket } from './scan.ts'
import { idPattern, isFinished, type Ticket } from './ticket.ts'

// Where tickets are: in the files of this worktree, in those of the main worktree (committed or not), and on the base branch.

/** Which copy of a ticket. */
export type Source = 'here' | 'main' | 'base'

/** One copy of a ticket. */
export interface Located {
  readonly id: string
  readonly source: Source
  /** Null on the base branch. */
  readonly directory: string | null
  /** Read when asked for. Throws `unavailable` when it cannot be. */
  readonly text: string
}

/** A ticket and where it was read. */
export interface Listed {
  readonly ticket: Ticket
  readonly located: Located
}

/** A ticket, with its body and what is wrong with its front matter. */
export interface Read extends Listed {
  readonly body: string
  readonly problems: readonly Problem[]
}

/** A copy that counts when somebody wants to claim the ticket. */
export interface Copy {
  readonly source: Source
  /** Null: detached. */
  readonly branch: string | null
  readonly ticket: Ticket
}

const unreadable: ReadonlySet<string> = new Set(['yaml', 'duplicate_key', 'no_front_matter', 'unclosed_front_matter'])

/** Does this make all of a front matter a guess? */
export const isUnreadable = ({ code }: Problem): boolean => unreadable.has(code)

/** Front matter that is wrong here makes the state of the work, or what it needs, a guess. */
const decisive: ReadonlySet<string | null> = new Set(['id', 'status', 'workflow_state', 'depends_on', 'gates'])

/** What keeps a ticket from being claimed, if anything is wrong with its front matter that does. */
export const damageIn = (problems: readonly Problem[]): Problem | undefined =>
  problems.find(problem => isUnreadable(problem) || (problem.code !== 'missing_field' && decisive.has(problem.key)))

/** Shorter spellings match too much. */
const shortestPrefix = 4

/** The tickets that one worktree sees. Looks at the disk when asked; only the base branch is remembered. */
export class Catalogue {
  readonly #repository: Repository
  readonly #base: BaseBranch
  readonly #here: string | null
  readonly #warnings = new Set<string>()
  readonly #checked = new Set<string>()
  readonly #damages = new WeakMap<Ticket, string>()
  #main: string | null | undefined

  private constructor(repository: Repository, baseBranch: string | null) {
    this.#repository = repository
    this.#base = new BaseBranch(repository, baseBranch)
    this.#here = repository.root === null ? null : ticketsDirectory(repository.root)
    if (repository.gitDir === repository.commonDir) this.#main = null
  }

  /** The tickets of a worktree. Reads nothing yet. `baseBranch` is what the configuration says, null for nothing. */
  static open(repository: Repository, baseBranch: string | null): Catalogue {
    return new Catalogue(repository, baseBranch)
  }

  /** Its name; null where no branch could be it. */
  get baseBranch(): string | null {
    return this.#base.name
  }

  /** What was passed over so far, and why. */
  get warnings(): readonly string[] {
    return [...this.#warnings]
  }

  /** The main worktree's tickets; null when this is it, or there is none. */
  #mainTickets(): string | null {
    if (this.#main === undefined) {
      const root = mainRoot(this.#repository)
      this.#main = root === null || root === this.#repository.root ? null : ticketsDirectory(root)
    }
    return this.#main
  }

  /** The directories that hold tickets, this worktree's first. */
  #places(): readonly { readonly source: 'here' | 'main'; readonly tickets: string }[] {
    const main = this.#mainTickets()
    return [
      ...(this.#here === null ? [] : [{ source: 'here' as const, tickets: this.#sound(this.#here) }]),
      ...(main === null ? [] : [{ source: 'main' as const, tickets: this.#sound(main) }]),
    ]
  }

  /** The same directory, after a look whether a symbolic link leads to it: then nothing is read there. Throws `unavailable`. */
  #sound(tickets: string): string {
    if (!this.#checked.has(tickets)) {
      checkDirectory(dirname(tickets))
      checkDirectory(tickets)
      this.#checked.add(tickets)
    }
    return tickets
  }

  /** Is there any ticket? */
  get present(): boolean {
    return this.#places().some(({ tickets }) => holdsTicket(tickets)) || this.#base.ids().length > 0
  }

  /** Ids of all tickets, sorted. */
  ids(): readonly string[] {
    return [...this.#sources().keys()].sort()
  }

  /** The first place of each ticket. */
  #sources(): Map<string, Source> {
    const sources = new Map<string, Source>()
    for (const { source, tickets } of this.#places()) {
      for (const id of this.#idsIn(tickets)) if (!sources.has(id)) sources.set(id, source)
    }
    for (const id of this.#base.ids()) if (!sources.has(id)) sources.set(id, 'base')
    return sources
  }

  #idsIn(tickets: string): readonly string[] {
    const ids: string[] = []
    for (const entry of entriesOf(tickets)) {
      if (entry.name.startsWith('.')) continue
      if (entry.isSymbolicLink()) this.#warnings.add(`${join(tickets, entry.name)} is a symbolic link; it is not followed.`)
      else if (!entry.isDirectory()) continue
      else if (idPattern.test(entry.name)) ids.push(entry.name)
      else this.#warnings.add(`${join(tickets, entry.name)} is not named like a ticket; see: lh ticket doctor`)
    }
    return ids
  }

  /** The directory of a ticket in this worktree, whether it exists or not. Throws `usage` where there are no files. */
  directoryHere(id: string): string {
    if (this.#here === null) {
      throw usage(`${this.#repository.gitDir} is bare: it has no files for tickets.`, 'Run this in a worktree.')
    }
    return join(this.#sound(this.#here), id)
  }

  /** The directories that hold a copy: this worktree's, the main worktree's. */
  directories(id: string): readonly string[] {
    return this.#places()
      .map(({ tickets }) => join(tickets, id))
      .filter(isTicketDirectory)
  }

  /** The copy that counts: this worktree's, else the main worktree's, else the base branch's; null when there is none. */
  locate(id: string): Located | null {
    return this.#find(id)
  }

  #find(id: string): FileCopy | BaseCopy | null {
    return this.#inFiles(id) ?? (idPattern.test(id) && this.#base.has(id) ? new BaseCopy(id, this.#base) : null)
  }

  /** Asks neither Git nor for any other ticket. */
  #inFiles(id: string): FileCopy | null {
    if (!idPattern.test(id)) return null
    const here = this.#here === null ? null : join(this.#sound(this.#here), id)
    if (here !== null && isTicketDirectory(here)) return new FileCopy(id, 'here', here)
    const tickets = this.#mainTickets()
    const main = tickets === null ? null : join(this.#sound(tickets), id)
    return main !== null && isTicketDirectory(main) ? new FileCopy(id, 'main', main) : null
  }

  /** A ticket as a whole. Throws `not_found`; what is wrong in its front matter is in `problems`. */
  async read(id: string): Promise<Read> {
    const located = this.locate(id)
    if (located === null) throw missing(id)
    const { text } = located
    const scanned = scanTicket(text)
    if (scanned?.id === id) return { ticket: scanned, body: bodyOf(text), located, problems: [] }
    const { parseTicket } = await import('./front-matter.ts')
    const { ticket, body, problems } = parseTicket(text, id)
    return { ticket, body, located, problems }
  }

  /** All tickets in the order of their ids, one at a time. What cannot be read is passed over with a warning. */
  async *list(): AsyncGenerator<Listed> {
    const sources = this.#sources()
    for (const id of [...sources.keys()].sort()) {
      const located = this.#copyAt(id, sources.get(id)!)
      const ticket = this.#scan(located)
      const listed = ticket === null ? await this.#listedSlowly(located) : { ticket, located }
      if (listed !== null) yield listed
    }
  }

  /** Hands out the same tickets, and waits only for the unusual ones: of ten thousand, waiting would cost as much as reading them. */
  async each(visit: (ticket: Ticket, source: Source) => void): Promise<void> {
    const sources = this.#sources()
    const base = this.#base
    for (const id of [...sources.keys()].sort()) {
      const source = sources.get(id)!
      const ticket = source === 'base' ? scanBase(base, id) : scanFile(this.#directoryAt(id, source), id)
      if (ticket !== null) visit(ticket, source)
      else {
        // oxlint-disable-next-line no-await-in-loop -- in order, and seldom
        const listed = await this.#listedSlowly(this.#copyAt(id, source))
        if (listed !== null) visit(listed.ticket, listed.located.source)
      }
    }
  }

  /** What the library says of a ticket that is not written as usual; null when there is none. */
  async #listedSlowly(located: FileCopy | BaseCopy): Promise<Listed | null> {
    const ticket = await this.#parse(located)
    if (ticket !== null) return { ticket, located }
    // A directory without a ticket does not hide the ticket elsewhere.
    const other = this.#find(located.id)
    if (other === null || other.directory === located.directory) return null
    const found = await this.#ticketOf(other)
    return found === null ? null : { ticket: found, located: other }
  }

  #copyAt(id: string, source: Source): FileCopy | BaseCopy {
    if (source === 'base') return new BaseCopy(id, this.#base)
    return new FileCopy(id, source, this.#directoryAt(id, source))
  }

  /** Not with `join`, which takes as long as reading the file does. */
  #directoryAt(id: string, source: 'here' | 'main'): string {
    return `${source === 'here' ? this.#here! : this.#mainTickets()!}/${id}`
  }

  async #ticketOf(located: FileCopy | BaseCopy): Promise<Ticket | null> {
    return this.#scan(located) ?? this.#parse(located)
  }

  /** Null when there is no ticket, or the library has to look at it. */
  #scan({ id, directory }: FileCopy | BaseCopy): Ticket | null {
    return directory === null ? scanBase(this.#base, id) : scanFile(directory, id)
  }

  /** Null when there is no ticket, or none that can be read; the latter with a warning. */
  async #parse({ id, directory }: FileCopy | BaseCopy): Promise<Ticket | null> {
    const found = directory === null ? this.#base.head(id) : readRegular(`${directory}/ticket.md`, maxTicketBytes)
    if (found === null || found === 'missing') return null
    if (directory !== null && typeof found === 'string') {
      this.#warnings.add(`${directory}/ticket.md cannot be read: ${found}.`)
      return null
    }
    const text = found.toString('utf8')
    // It may only have been longer than what is read first: many dependencies are nothing unusual.
    const scanned = scanTicket(text)
    if (scanned?.id === id) return scanned
    const { parseTicket } = await import('./front-matter.ts')
    const { ticket, problems } = parseTicket(text, id)
    const damage = damageIn(problems)
    if (damage === undefined) return ticket
    this.#damages.set(ticket, damage.message)
    // Nobody is to wonder why the ticket is not handed out.
    if (directory !== null)
      this.#warnings.add(
        `${directory}/ticket.md${damage.line === null ? '' : `:${damage.line}`} is damaged (${damage.message}): what is said of ${id} is a guess; see: lh ticket doctor`,
      )
    return ticket
  }

  /** What is wrong with a ticket that was handed out here, so that it cannot be claimed; null for nothing. */
  damageTo(ticket: Ticket): string | null {
    return this.#damages.get(ticket) ?? null
  }

  /**
   * The id that a spelling means: an id, a slug, the beginning of either (4 characters or more), or what it was called where it was
   * imported from; with or without `ticket:`. Throws `not_found`, or `usage` with `details.candidates` when it could be several.
   */
  async resolve(spelling: string): Promise<string> {
    const wanted = spelling
      .trim()
      .toLowerCase()
      .replace(/^ticket:/, '')
    if (this.#inFiles(wanted) !== null) return wanted
    const ids = this.ids()
    const long = wanted.length >= shortestPrefix
    const found =
      this.#existing(ids.filter(id => id === wanted)) ??
      this.#existing(ids.filter(id => id.endsWith(wanted) && slugInId(id) === wanted)) ??
      this.#existing(long ? ids.filter(id => id.startsWith(wanted) || (id.includes(wanted) && slugInId(id).startsWith(wanted))) : []) ??
      (wanted === '' ? null : await this.#searchInside(wanted, long))
    if (found === null) throw missing(spelling)
    if (found.length === 1) return found[0]!
    throw new Fault(
      'usage',
      `${JSON.stringify(spelling)} could be ${found.length} tickets: ${found.slice(0, 10).join(', ')}${found.length > 10 ? ', …' : ''}`,
      {
        hint: 'Write more of the id.',
        details: { candidates: found },
      },
    )
  }

  /** Reads all tickets for one that says of itself that it is called so. */
  async #searchInside(wanted: string, long: boolean): Promise<readonly string[] | null> {
    const exact: string[] = []
    const beginning: string[] = []
    await this.each(ticket => {
      const own = [ticket.slug.toLowerCase(), ticket.legacyTicket?.toLowerCase() ?? '']
      if (own.includes(wanted)) exact.push(ticket.id)
      else if (long && own.some(name => name.startsWith(wanted))) beginning.push(ticket.id)
    })
    return exact.length > 0 ? exact : beginning.length > 0 ? beginning : null
  }

  /** Those that are tickets, not just directories; null when there are none. */
  #existing(ids: readonly string[]): readonly string[] | null {
    const existing = ids.filter(id => this.#find(id) !== null)
    return existing.length === 0 ? null : existing
  }

  /** Every copy that counts when somebody wants to claim it. */
  async copies(id: string): Promise<readonly Copy[]> {
    const copies = await this.#inWorktrees(id, ['here', 'main'])
    const ticket = await this.#baseTicket(id)
    return ticket === null ? copies : [...copies, { source: 'base', branch: this.baseBranch, ticket }]
  }

  /** Could `finishedElsewhere` find any? No is certain, and costs next to nothing. */
  mayBeFinishedElsewhere(id: string): boolean {
    return this.#mainTickets() !== null || this.#mayBeOverOnBase(id)
  }

  #mayBeOverOnBase(id: string): boolean {
    return idPattern.test(id) && this.#base.mayBeOver(id)
  }

  /** The copies that say it is over, apart from this worktree's: the main worktree's, the base branch's. */
  async finishedElsewhere(id: string): Promise<readonly Copy[]> {
    const copies = this.#mainTickets() === null ? [] : (await this.#inWorktrees(id, ['main'])).filter(({ ticket }) => isFinished(ticket))
    if (!this.#mayBeOverOnBase(id)) return copies
    const ticket = await this.#baseTicket(id)
    return ticket !== null && isFinished(ticket) ? [...copies, { source: 'base', branch: this.baseBranch, ticket }] : copies
  }

  async #inWorktrees(id: string, sources: readonly Source[]): Promise<readonly Copy[]> {
    const copies: Copy[] = []
    for (const { source, tickets } of this.#places()) {
      const directory = `${tickets}/${id}`
      if (!sources.includes(source) || !isTicketDirectory(directory)) continue
      const ticket = await this.#ticketOf(new FileCopy(id, source, directory))
      if (ticket !== null) copies.push(new WorktreeCopy(source, ticket, () => this.#branch(source)))
    }
    return copies
  }

  async #baseTicket(id: string): Promise<Ticket | null> {
    return idPattern.test(id) && this.#base.has(id) ? this.#ticketOf(new BaseCopy(id, this.#base)) : null
  }

  #branch(source: 'here' | 'main'): string | null {
    return branchOf(source === 'here' ? this.#repository.gitDir : this.#repository.commonDir)
  }

  /**
   * Is the work of a ticket over, as far as this worktree's files or the base branch say? `elsewhere` is the branch of the main worktree
   * when only its copy says so (`HEAD` when it has none).
   */
  async isDone(id: string): Promise<{ readonly done: boolean; readonly where: 'here' | 'base' | null; readonly elsewhere: string | null }> {
    let elsewhere: string | null = null
    for (const { source, tickets } of this.#places()) {
      const directory = join(tickets, id)
      const ticket = isTicketDirectory(directory) ? await this.#ticketOf(new FileCopy(id, source, directory)) : null
      if (ticket === null || !isFinished(ticket)) continue
      if (source === 'here') return { done: true, where: 'here', elsewhere: null }
      elsewhere = this.#branch(source) ?? 'HEAD'
    }
    const ticket = await this.#baseTicket(id)
    if (ticket !== null && isFinished(ticket)) return { done: true, where: 'base', elsewhere: null }
    return { done: false, where: null, elsewhere }
  }
}

/** A copy in a worktree. */
class FileCopy implements Located {
  readonly id: string
  readonly source: 'here' | 'main'
  readonly directory: string

  constructor(id: string, source: 'here' | 'main', directory: string) {
    this.id = id
    this.source = source
    this.directory = directory
  }

  get text(): string {
    const path = join(this.directory, 'ticket.md')
    const found = readRegular(path, maxTicketBytes)
    if (found === 'missing') throw missing(this.id)
    if (typeof found !== 'string') return found.toString('utf8')
    const why = found === 'too large' ? `it is larger than ${maxTicketBytes} bytes` : found
    throw new Fault('unavailable', `${path} cannot be read: ${why}.`, { hint: `Look at it: ls -l ${path}` })
  }
}

/** A copy in a worktree, whose branch is hardly ever asked for. */
class WorktreeCopy implements Copy {
  readonly source: 'here' | 'main'
  readonly ticket: Ticket
  readonly #branch: () => string | null

  constructor(source: 'here' | 'main', ticket: Ticket, branch: () => string | null) {
    this.source = source
    this.ticket = ticket
    this.#branch = branch
  }

  get branch(): string | null {
    return this.#branch()
  }
}

/** A copy on the base branch. */
class BaseCopy implements Located {
  readonly id: string
  readonly source = 'base'
  readonly directory = null
  readonly #base: BaseBranch

  constructor(id: string, base: BaseBranch) {
    this.id = id
    this.#base = base
  }

  get text(): string {
    const text = this.#base.text(this.id)
    if (text === null) throw missing(this.id)
    return text
  }
}

const missing = (spelling: string): Fault => notFound(`There is no ticket ${JSON.stringify(spelling)}.`, 'See: lh ticket list')

function bodyOf(text: string): string {
  const place = findFrontMatter(text)
  if (place === null || place === 'unclosed') return text
  const blank = text.startsWith('\r\n', place.after) ? 2 : text.startsWith('\n', place.after) ? 1 : 0
  return text.slice(place.after + blank)
}

/** What was read last of a file. One for all: ten thousand of them would be the collector's main work. */
const window = Buffer.allocUnsafeSlow(4 * 1024)

/** Reads the beginning of a file into the window, and says how many bytes of it count: 0 when it cannot be read. */
function readHead(path: string): number {
  const descriptor = openForReading(path)
  if (typeof descriptor === 'string') return 0
  try {
    const length = readSync(descriptor, window, 0, window.length, 0)
    // Of more than fits only whole lines: half a line could look like another.
    return length < window.length ? length : window.lastIndexOf(10) + 1
  } catch {
    // A directory or a pipe: reading it as a whole says so.
    return 0
  } finally {
    closeSync(descriptor)
  }
}

/** The ticket in a directory; null when it is none of this id, or the library has to look at it. */
function scanFile(directory: string, id: string): Ticket | null {
  const ticket = scanTicket(window, readHead(`${directory}/ticket.md`))
  return ticket?.id === id ? ticket : null
}

/** The same of the base branch. */
function scanBase(base: BaseBranch, id: string): Ticket | null {
  const head = base.head(id)
  const ticket = head === null ? null : scanTicket(head)
  return ticket?.id === id ? ticket : null
}

function isTicketDirectory(directory: string): boolean {
  return isDirectory(directory) && lstatSync(join(directory, 'ticket.md'), { throwIfNoEntry: false }) !== undefined
}

function isDirectory(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
  } catch {
    return false
  }
}

function entriesOf(tickets: string): readonly Dirent[] {
  try {
    return readdirSync(tickets, { withFileTypes: true })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw new Fault('unavailable', `${tickets} cannot be read: ${(error as Error).message}`, {
      hint: `Look at it: ls -ld ${shellWord(tickets)}`,
      cause: error,
    })
  }
}

// Not opendir: in Node it loads more than all the names cost.
const holdsTicket = (tickets: string): boolean => entriesOf(tickets).some(entry => entry.isDirectory() && !entry.name.startsWith('.'))
