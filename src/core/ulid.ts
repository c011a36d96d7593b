// ULID (github.com/ulid/spec): 48 bits of time and 80 bits that make it unique, in Crockford's base 32, sortable as text.

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** A ULID of a wall-clock time in milliseconds and 10 bytes that nobody else uses in the same millisecond. */
export function ulid(ms: number, unique: Uint8Array): string {
  let text = ''
  let time = ms
  for (let i = 0; i < 10; i++) {
    text = alphabet[time % 32]! + text
    time = Math.floor(time / 32)
  }
  let buffer = 0
  let bits = 0
  for (let i = 0; i < 10; i++) {
    buffer = (buffer << 8) | unique[i]!
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(buffer >> (bits - 5)) & 31]!
    buffer &= (1 << bits) - 1
  }
  return text
}

/** The ULID `steps` after this one: the members of one group get consecutive ids from a single seed. */
export function ulidAfter(seed: string, steps: number): string {
  const symbols = [...seed]
  let carry = steps
  for (let i = symbols.length - 1; i >= 0 && carry > 0; i--) {
    const value = alphabet.indexOf(symbols[i]!) + carry
    symbols[i] = alphabet[value % 32]!
    carry = Math.floor(value / 32)
  }
  return symbols.join('')
}

/** Is this text a ULID? */
export const isUlid = (text: string): boolean => /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(text)
