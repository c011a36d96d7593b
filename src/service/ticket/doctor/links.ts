import { cyclesIn, wordCycle } from '../dependencies.ts'
import { shellWord } from '../../../core/shell-word.ts'
import { isName, slugInId } from '../identify.ts'
import type { Ticket } from '../ticket.ts'
import { isFinished } from '../ticket.ts'
import type { Diagnosis, Mend } from './finding.ts'
import { error, warning } from './finding.ts'
import type { Yaml } from './front-matter.ts'

// What is wrong between tickets: ids, slugs and dependencies.

/** A ticket of this worktree, as far as others need to know it. */
export interface Known {
  readonly ticket: Ticket
  readonly writtenId: string | null
  /** `ticket.md`, from the top of the worktree. */
  readonly file: string
  /** It is mostly guessed. */
  readonly guessed: boolean
}

/** Tickets that only the main worktree or the base branch has. */
export interface Elsewhere {
  /** Is there one with exactly this id? */
  has(id: string): boolean
  ids(): readonly string[]
  /** Ids that it depends on. */
  dependsOn(id: string): Promise<readonly string[]>
  /** Does a copy that counts say that it is done? */
  isDone(id: string): Promise<boolean>
}

/** Number of the line that a key of a ticket, or an item of its list, is on. */
export type Lines = {
  ofKey(known: Known, key: string): number
  ofItem(known: Known, key: string, item: string, occurrence?: number): number
}

interface Tickets {
  readonly known: ReadonlyMap<string, Known>
  readonly elsewhere: Elsewhere
  readonly lines: Lines
  readonly yaml: () => Promise<Yaml>
}

/** Everything that is wrong between these tickets. */
export async function linkFaults(tickets: Tickets): Promise<readonly Diagnosis[]> {
  const outside = new Set<string>()
  const faults = await dependencyFaults(tickets, outside)
  return [...doubledIds(tickets), ...doubledSlugs(tickets), ...faults, ...(await cycles(tickets, outside))]
}

/** Directories that claim the id of another; their own mismatch is said by whoever read them. */
function* doubledIds({ known, lines }: Tickets): Generator<Diagnosis> {
  const claims = new Map<string, string[]>()
  for (const [directory, { writtenId: id }] of known) {
    if (id === directory || id === null) continue
    const others = claims.get(id)
    if (others === undefined) claims.set(id, known.get(id)?.writtenId === id ? [id, directory] : [directory])
    else others.push(directory)
  }
  for (const [id, directory] of [...claims].flatMap(([id, directories]) => directories.map(directory => [id, directory] as const))) {
    const rivals = claims.get(id)!.filter(other => other !== directory)
    if (rivals.length === 0 || directory === id) continue
    const claimant = known.get(directory)!
    yield error(
      'duplicate-id',
      { file: claimant.file, line: lines.ofKey(claimant, 'id') },
      `the id ${id} is also claimed by ${rivals.slice(0, 5).join(', ')}`,
      `if it is a ticket of its own, write id: ${directory}; if it is a copy: git rm -r ${shellWord(claimant.file.replace(/\/ticket\.md$/, ''))}`,
    )
  }
}

/** `YYYYMMDD-HHMMSS-` */
const stampLength = 16

function* doubledSlugs({ known, lines }: Tickets): Generator<Diagnosis> {
  const first = new Map<string, string>()
  for (const [id, ticket] of known) {
    if (ticket.guessed) continue
    // A ticket answers to both; they differ only where somebody edited the slug, or an import chose another id.
    const { slug } = ticket.ticket
    const inId = id.length === slug.length + stampLength && id.endsWith(slug) ? slug : slugInId(id)
    const other = first.get(slug) ?? (inId === slug ? undefined : first.get(inId))
    if (other === undefined || !first.has(slug)) first.set(slug, id)
    if (inId !== slug && !first.has(inId)) first.set(inId, id)
    if (other === undefined) continue
    const shared = first.get(slug) === other ? slug : inId
    if (!isName(shared)) continue
    yield warning(
      'duplicate-slug',
      { file: ticket.file, line: lines.ofKey(ticket, 'slug') },
      `the slug ${shared} is also that of ${other}: the word alone means neither`,
      'call them by their ids',
    )
  }
}

/** Collects in `outside` the dependencies that are only elsewhere. */
async function dependencyFaults(tickets: Tickets, outside: Set<string>): Promise<readonly Diagnosis[]> {
  const { known, elsewhere, lines } = tickets
  const faults: Diagnosis[] = []
  let names: Names | undefined
  for (const [id, ticket] of known) {
    const { dependsOn } = ticket.ticket
    if (dependsOn.length === 0) continue
    const seen = new Set<string>()
    for (const on of dependsOn) {
      const place = (occurrence = 0): { readonly file: string; readonly line: number } => ({
        file: ticket.file,
        line: lines.ofItem(ticket, 'depends_on', on, occurrence),
      })
      if (seen.has(on)) {
        faults.push(
          warning(
            'dependency-doubled',
            place(1),
            `it depends on ${on} twice`,
            'lh ticket doctor --fix keeps one',
            await withDependencies(tickets, once),
          ),
        )
        continue
      }
      seen.add(on)
      if (on === id)
        faults.push(error('dependency-self', place(), 'it depends on itself', `lh ticket depend ${id} --on ${shellWord(on)} --remove`))
      else if (!known.has(on) && !outside.has(on) && !elsewhere.has(on)) {
        const full = (names ??= new Names(known, elsewhere)).find(on)
        faults.push(
          full.length === 1
            ? error(
                'dependency-abbreviated',
                place(),
                `it depends on ${on}, which is short for ${full[0]}; a file names the whole id`,
                'lh ticket doctor --fix writes it',
                await withDependencies(tickets, ids => once(ids.map(other => (other === on ? full[0]! : other)))),
              )
            : error(
                'dependency-unknown',
                place(),
                full.length > 1
                  ? `it depends on ${on}, which may be ${full.slice(0, 5).join(', ')}`
                  : `it depends on ${on}, and there is no such ticket`,
                full.length > 1 ? 'write the whole id' : `lh ticket depend ${id} --on ${shellWord(on)} --remove`,
              ),
        )
        continue
      }
      if (!known.has(on)) outside.add(on)
      if (isDoneHere(ticket) && !(await isDone(on, tickets)))
        faults.push(
          warning(
            'done-dependency-open',
            place(),
            `it is done, but it depends on ${on}, which is not`,
            `lh ticket depend ${id} --on ${shellWord(on)} --remove, if it did not need it after all`,
          ),
        )
    }
  }
  return faults
}

/** By its work; a ticket is also closed because nothing will be done. */
const isDoneHere = ({ ticket }: Known): boolean => ticket.workflowState === 'done' && ticket.status !== 'closed'

async function isDone(id: string, { known, elsewhere }: Tickets): Promise<boolean> {
  const here = known.get(id)
  return (here !== undefined && isFinished(here.ticket)) || elsewhere.isDone(id)
}

const once = (ids: readonly string[]): readonly string[] => [...new Set(ids)]

async function withDependencies({ yaml }: Tickets, change: (ids: readonly string[]) => readonly string[]): Promise<Mend> {
  const { editTicket, parseTicket } = await yaml()
  return { kind: 'edit', edit: text => editTicket(text, { dependsOn: change(parseTicket(text, '').ticket.dependsOn) }) }
}

/** One finding for each knot, with the ticket of the smallest id in it that is here. */
async function cycles({ known, elsewhere, lines }: Tickets, outside: ReadonlySet<string>): Promise<readonly Diagnosis[]> {
  const edges = new Map<string, readonly string[]>()
  for (const [id, { ticket }] of known) if (ticket.dependsOn.length > 0) edges.set(id, ticket.dependsOn)
  // What others have may close a circle. A set is visited in the order of insertion, also what is inserted meanwhile.
  const others = new Set(outside)
  for (const id of others) {
    const dependsOn = await elsewhere.dependsOn(id)
    edges.set(id, dependsOn)
    for (const on of dependsOn) if (!known.has(on)) others.add(on)
  }
  const faults: Diagnosis[] = []
  for (const cycle of cyclesIn(edges)) {
    // That a ticket depends on itself is said there.
    const at = cycle.length === 1 ? -1 : cycle.findIndex(id => known.has(id))
    const id = cycle[at]
    if (id === undefined) continue
    const next = cycle[(at + 1) % cycle.length]!
    const ticket = known.get(id)!
    faults.push(
      error(
        'dependency-cycle',
        { file: ticket.file, line: lines.ofItem(ticket, 'depends_on', next) },
        `tickets wait for each other: ${wordCycle(cycle)}`,
        `lh ticket depend ${id} --on ${shellWord(next)} --remove, or another of these`,
      ),
    )
  }
  return faults
}

/** As many characters as a prefix needs. */
const shortest = 4

/** What a person may call a ticket instead of its id. */
class Names {
  readonly #ids: readonly string[]
  readonly #others: readonly (readonly [name: string, id: string])[]

  constructor(known: ReadonlyMap<string, Known>, elsewhere: Elsewhere) {
    this.#ids = [...new Set([...known.keys(), ...elsewhere.ids()])].toSorted(compare)
    this.#others = [...known]
      .flatMap(([id, { ticket }]) =>
        [ticket.slug, ...(ticket.legacyTicket === null ? [] : [ticket.legacyTicket])].map(name => [name.toLowerCase(), id] as const),
      )
      .toSorted(([a], [b]) => compare(a, b))
  }

  /** The tickets that this may mean: one with exactly this name, else those that begin so. */
  find(spelling: string): readonly string[] {
    const wanted = spelling.toLowerCase()
    const others = startingWith(this.#others, wanted, ([name]) => name)
    const exact = new Set(others.filter(([name]) => name === wanted).map(([, id]) => id))
    if (exact.size > 0) return [...exact]
    if (wanted.length < shortest) return []
    const ids = startingWith(this.#ids, wanted, id => id)
    return ids[0] === wanted ? [wanted] : [...new Set([...ids, ...others.map(([, id]) => id)])]
  }
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** Those of a sorted list that begin with a text. */
function startingWith<T>(sorted: readonly T[], prefix: string, nameOf: (item: T) => string): readonly T[] {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (nameOf(sorted[middle]!) < prefix) low = middle + 1
    else high = middle
  }
  let end = low
  while (end < sorted.length && nameOf(sorted[end]!).startsWith(prefix)) end++
  return sorted.slice(low, end)
}
