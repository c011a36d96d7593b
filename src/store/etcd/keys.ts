import { sha256Hex } from '../../core/sha256.ts'

// The names of everything that is kept in etcd. Below one space:
//
//   cfg              what holds for the space as a whole
//   paths            rewritten by each grant of a `path:`: who looked at the others for overlaps compares it
//   limits           the indefinite ownerships; rewritten by each change of them
//   c/<k>/head       a key's slot; permanent, never attached to an engine lease
//   c/<k>/beat       attached to one: there while the holder is heard of. A hint
//   c/<k>/guard      attached to one: there while an eviction is being weighed
//   i/<lease id>     which keys an ownership was given, by its first lease id
//   o/<op_id>        the record that an op_id made, where the caller chose the id
//   log/<k>/<n>      one audit record for each key that it is about, numbered without gaps
//
// `<k>` is the canonical key, percent-encoded, so that a slash never appears in it.

const encoder = new TextEncoder()

/** A name without a slash; only the unreserved characters of RFC 3986 stay as they are. */
export const encoded = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, letter => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`)

/** The names of one space. */
export class Names {
  readonly root: string
  /** The key that was named last: a transaction names the same one many times. */
  #last = { resource: '', encoded: '' }

  constructor(space: string) {
    this.root = `leasehold/v1/${encoded(space)}/`
  }

  get cfg(): string {
    return `${this.root}cfg`
  }

  get paths(): string {
    return `${this.root}paths`
  }

  get limits(): string {
    return `${this.root}limits`
  }

  /** Everything that is kept of all keys. */
  get claims(): string {
    return `${this.root}c/`
  }

  get logs(): string {
    return `${this.root}log/`
  }

  get ids(): string {
    return `${this.root}i/`
  }

  /** Everything that is kept of the keys that begin with `prefix`. */
  claimsOf(prefix: string): string {
    return `${this.claims}${encoded(prefix)}`
  }

  claim(resource: string): string {
    return `${this.claims}${this.#encoded(resource)}/`
  }

  head(resource: string): string {
    return `${this.claim(resource)}head`
  }

  beat(resource: string): string {
    return `${this.claim(resource)}beat`
  }

  guard(resource: string): string {
    return `${this.claim(resource)}guard`
  }

  id(leaseId: string): string {
    return `${this.ids}${leaseId}`
  }

  /** An op_id may be any 128 characters, so its name is a hash. */
  op(opId: string): string {
    return `${this.root}o/${sha256Hex(encoder.encode(opId), 40)}`
  }

  logOf(resource: string): string {
    return `${this.logs}${this.#encoded(resource)}/`
  }

  log(resource: string, n: number): string {
    return `${this.logOf(resource)}${String(n).padStart(12, '0')}`
  }

  #encoded(resource: string): string {
    if (this.#last.resource !== resource) this.#last = { resource, encoded: encoded(resource) }
    return this.#last.encoded
  }

  /** The key and the part of a name below `c/`; null for any other name. */
  partOf(name: string): { readonly resource: string; readonly part: string } | null {
    if (!name.startsWith(this.claims)) return null
    const [key = '', part = ''] = name.slice(this.claims.length).split('/')
    return { resource: decodeURIComponent(key), part }
  }
}

/** The first name after all that begin with `prefix`: its last byte plus one (no name of ours ends in 0xff). */
export function prefixEnd(prefix: string): string {
  const last = prefix.length - 1
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1)
}
