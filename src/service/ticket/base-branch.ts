import { existsSync } from 'node:fs'
import { writeRepositoryFile } from '../../host/files.ts'
import type { Repository } from '../../host/git.ts'
import { filesInCommit, readBlobs } from '../../host/git-objects.ts'
import { storeDirectory } from '../../host/paths.ts'
import { baseCache, baseCacheFile, commitOfBase, guessBase, heading } from '../../host/base-commit.ts'
import { readRegular } from './files.ts'
import { findFrontMatter } from './scan.ts'
import { idPattern } from './ticket.ts'

// The tickets as the base branch has them. Git is asked once for each commit of it; what it said is kept in a file beside the store,
// which is named after the commit inside and can therefore be missing, but never wrong.

/** Bigger than this, reading the file costs more than asking Git. Bytes. */
const maxCacheBytes = 256 * 1024 * 1024

/** Searching is quicker than an index for the few tickets that most commands ask for. */
const fewLookups = 16

/** The tickets of the base branch. Reads nothing before it is asked, and each thing once. */
export class BaseBranch {
  readonly #repository: Repository
  readonly #configured: string | null
  #name: string | null | undefined
  #records: Buffer | undefined
  #index: Map<string, number> | undefined
  #lookups = 0
  #over: ReadonlySet<string> | undefined

  constructor(repository: Repository, configured: string | null) {
    this.#repository = repository
    this.#configured = configured
  }

  /** Its name; null in a repository without a branch that could be it. */
  get name(): string | null {
    this.#name ??= this.#configured ?? guessBase(this.#repository)
    return this.#name
  }

  #commit(): string | null {
    return this.name === null ? null : commitOfBase(this.#repository, this.name)
  }

  /** Ids of all its tickets. */
  ids(): readonly string[] {
    const records = this.#load()
    // The line before the records: one reading of it is quicker than one of each record.
    const start = records.indexOf(10) + 1
    return records.toString('latin1', start, records.indexOf(10, start)).split(' ').slice(1)
  }

  has(id: string): boolean {
    return this.#record(id) !== null
  }

  /** The front matter of a ticket, with the lines around it; null when it has no such ticket. */
  head(id: string): string | null {
    const record = this.#record(id)
    return record === null ? null : (JSON.parse(record.slice(record.indexOf('"'))) as string)
  }

  /** False for front matter in which neither word is, nor anything that YAML could make one of. Most are told apart by that. */
  mayBeOver(id: string): boolean {
    if (this.#over === undefined && this.#lookups < fewLookups) return /done|closed|\\/.test(this.head(id) ?? '')
    this.#over ??= this.#perhapsOver()
    return this.#over.has(id)
  }

  /** Ids of those, and words that are no id. Looking for the words in all records at once costs less than reading each. */
  #perhapsOver(): ReadonlySet<string> {
    const records = this.#load()
    const over = new Set<string>()
    // A backslash of the text is two in JSON.
    for (const sign of ['done', 'closed', '\\\\']) {
      for (let at = records.indexOf(sign); at >= 0; at = records.indexOf(sign, records.indexOf(10, at))) {
        const start = records.lastIndexOf(10, at) + 1
        over.add(records.toString('latin1', start, records.indexOf(32, start)))
      }
    }
    return over
  }

  /** The whole text of a ticket. */
  text(id: string): string | null {
    const record = this.#record(id)
    if (record === null) return null
    const blob = record.split(' ', 2)[1]!
    return readBlobs(this.#repository.commonDir, [blob])[0]!.toString('utf8')
  }

  /** `<id> <blob> <front matter as JSON>`. */
  #record(id: string): string | null {
    const records = this.#load()
    const at = this.#index === undefined && this.#lookups++ < fewLookups ? records.indexOf(`\n${id} `) + 1 : (this.#all().get(id) ?? 0)
    return at === 0 ? null : records.toString('utf8', at, records.indexOf(10, at))
  }

  /** Where each ticket's record begins. */
  #all(): ReadonlyMap<string, number> {
    if (this.#index !== undefined) return this.#index
    const records = this.#load()
    const index = new Map<string, number>()
    const first = records.indexOf(10, records.indexOf(10) + 1) + 1
    for (let at = first; at < records.length; at = records.indexOf(10, at) + 1) {
      const space = records.indexOf(32, at)
      const end = records.indexOf(10, at)
      if (space > 0 && space < end) index.set(records.toString('latin1', at, space), at)
    }
    this.#index = index
    return index
  }

  /** Lines: a heading with the commit, `:` and the ids, a record for each ticket, and an end. */
  #load(): Buffer {
    this.#records ??= this.#read()
    return this.#records
  }

  #read(): Buffer {
    const commit = this.#commit()
    if (commit === null) return Buffer.from('\n:\n')
    const file = baseCacheFile(this.#repository)
    const found = readRegular(file, maxCacheBytes)
    const known = typeof found === 'string' || !isWhole(found) ? null : found
    if (known !== null && known.toString('latin1', 0, known.indexOf(10)) === heading(commit)) return known
    const fresh = this.#ask(commit, known)
    this.#keep(file, fresh)
    return fresh
  }

  /** What the commit has. What it shares with an earlier one is taken from there. */
  #ask(commit: string, earlier: Buffer | null): Buffer {
    const { commonDir } = this.#repository
    const known = new Map<string, string>()
    for (const line of earlier === null ? [] : earlier.toString('utf8').split('\n').slice(2)) {
      const json = line.indexOf('"')
      if (json > 0) known.set(line.split(' ', 2)[1]!, line.slice(json))
    }
    const tickets: { id: string; blob: string }[] = []
    for (const { path, blob } of filesInCommit(commonDir, commit, '.leasehold/tickets')) {
      const id = /^\.leasehold\/tickets\/([^/]+)\/ticket\.md$/.exec(path)?.[1]
      if (id !== undefined && idPattern.test(id)) tickets.push({ id, blob })
    }
    const unknown = [...new Set(tickets.map(({ blob }) => blob))].filter(blob => !known.has(blob))
    const contents = readBlobs(commonDir, unknown)
    for (const [number, blob] of unknown.entries()) known.set(blob, JSON.stringify(headOf(contents[number]!.toString('utf8'))))
    const records = tickets.map(({ id, blob }) => `${id} ${blob} ${known.get(blob)!}\n`)
    return Buffer.from(
      baseCache(
        commit,
        tickets.map(({ id }) => id),
        records,
      ),
    )
  }

  /** A place that cannot be written makes the next command slower, nothing else. Reading commands do not make the store either. */
  #keep(file: string, content: Buffer): void {
    if (!existsSync(storeDirectory(this.#repository.commonDir))) return
    try {
      writeRepositoryFile(file, content, this.#repository.shared)
    } catch {
      // As said.
    }
  }
}

const isWhole = (cache: Buffer): boolean => cache.subarray(-5).toString('latin1') === '\nend\n'

/** The text up to the end of its front matter; all of it when there is none. */
function headOf(text: string): string {
  const place = findFrontMatter(text)
  return place === null || place === 'unclosed' ? text : text.slice(0, place.after)
}
