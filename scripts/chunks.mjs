// @ts-check
/** Which module of a program goes into which chunk. */

/** What it costs a process to read one more file, as bytes of source that it would read for nothing instead. */
const FILE_BYTES = 100_000

/**
 * @typedef {{ readonly imports: readonly string[], readonly lazy: readonly string[], readonly bytes: number }} Module
 * @typedef {{ modules: string[], bytes: number, needed: bigint, imports: Set<Chunk> }} Chunk `needed` has a bit for each lazy entry
 */

/** The module and all that it imports statically. @param {string} id @param {(id: string) => Module} look @param {ReadonlySet<string>} [without] */
export function closure(id, look, without) {
  const all = new Set([id])
  for (const one of all) for (const other of look(one).imports) if (without?.has(other) !== true) all.add(other)
  return all
}

/**
 * What several lazy entries share, in few chunks: modules that the same entries need are one chunk, and two chunks become one as long as
 * that saves more files than it makes processes read what they do not need.
 * @param {ReadonlySet<string>} main what every process of the program has already @param {(id: string) => Module} look
 * @returns {readonly (readonly string[])[]} the modules of each, the largest first
 */
export function sharedChunks(main, look) {
  let chunks = sharedParts(main, look)
  for (let best = chunks; ; chunks = best) {
    for (const [index, one] of chunks.entries())
      for (const other of chunks.slice(index + 1)) {
        const merged = merge(chunks, one, other)
        if (cost(merged) < cost(best)) best = merged
      }
    if (best === chunks) return chunks.map(({ modules }) => modules.toSorted((a, b) => look(b).bytes - look(a).bytes))
  }
}

/** @param {ReadonlySet<string>} main @param {(id: string) => Module} look @returns {Chunk[]} */
function sharedParts(main, look) {
  /** @type {Map<string, bigint>} */
  const needed = new Map()
  const entries = new Set([...main].flatMap(id => look(id).lazy).filter(id => !main.has(id)))
  let bit = 1n
  for (const entry of entries) {
    for (const id of closure(entry, look, main)) {
      needed.set(id, (needed.get(id) ?? 0n) | bit)
      for (const lazy of look(id).lazy) if (!main.has(lazy)) entries.add(lazy)
    }
    bit <<= 1n
  }
  /** @type {Map<bigint, Chunk>} */
  const parts = new Map()
  for (const [id, entriesOf] of needed) {
    if ((entriesOf & (entriesOf - 1n)) === 0n) continue
    const part = parts.get(entriesOf) ?? { modules: [], bytes: 0, needed: entriesOf, imports: new Set() }
    part.modules.push(id)
    part.bytes += look(id).bytes
    parts.set(entriesOf, part)
  }
  for (const part of parts.values())
    for (const id of part.modules)
      for (const other of look(id).imports) {
        const its = parts.get(needed.get(other) ?? 0n)
        if (its !== undefined && its !== part) part.imports.add(its)
      }
  return [...parts.values()]
}

/** The same chunks with two of them in one. @param {readonly Chunk[]} chunks @param {Chunk} one @param {Chunk} other @returns {Chunk[]} */
function merge(chunks, one, other) {
  /** @type {Chunk} */
  const both = {
    modules: [...one.modules, ...other.modules],
    bytes: one.bytes + other.bytes,
    needed: one.needed | other.needed,
    imports: new Set([...one.imports, ...other.imports]),
  }
  const copies = new Map(chunks.map(chunk => [chunk, { ...chunk }]))
  copies.set(one, both).set(other, both)
  const merged = [...new Set(copies.values())]
  for (const chunk of merged) {
    chunk.imports = new Set([...chunk.imports].map(to => copies.get(to) ?? to))
    chunk.imports.delete(chunk)
  }
  // Who loads a chunk loads what it imports.
  const queue = [...merged]
  for (const chunk of queue)
    for (const to of chunk.imports) {
      if ((to.needed | chunk.needed) === to.needed) continue
      to.needed |= chunk.needed
      queue.push(to)
    }
  return merged
}

/** Bytes that all entries together load. @param {readonly Chunk[]} chunks */
function cost(chunks) {
  let sum = 0
  for (const { needed, bytes } of chunks) sum += count(needed) * (bytes + FILE_BYTES)
  return sum
}

/** @param {bigint} bits */
function count(bits) {
  let sum = 0
  for (let rest = bits; rest > 0n; rest &= rest - 1n) sum++
  return sum
}
