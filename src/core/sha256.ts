// SHA-256 (FIPS 180-4) in plain arithmetic. The native one costs a fresh Node process 2 to 4 ms to load, which is more than a whole
// claim; this one hashes a log line in a tenth of a millisecond. Constants are derived, so there is no table to mistype.

const roundConstants = new Uint32Array(64)
const initialState = new Int32Array(8)
const schedule = new Int32Array(64)

function deriveConstants(): void {
  const fraction = (x: number): number => ((x - Math.floor(x)) * 0x1_0000_0000) >>> 0
  for (let candidate = 2, found = 0; found < 64; candidate++) {
    let prime = true
    for (let divisor = 2; divisor * divisor <= candidate && prime; divisor++) prime = candidate % divisor !== 0
    if (!prime) continue
    if (found < 8) initialState[found] = fraction(Math.sqrt(candidate))
    roundConstants[found++] = fraction(Math.cbrt(candidate))
  }
}

function compress(state: Int32Array, block: Uint8Array, offset: number): void {
  const w = schedule
  for (let i = 0; i < 16; i++) {
    const at = offset + i * 4
    w[i] = (block[at]! << 24) | (block[at + 1]! << 16) | (block[at + 2]! << 8) | block[at + 3]!
  }
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!
    const y = w[i - 2]!
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0
  }
  let a = state[0]!
  let b = state[1]!
  let c = state[2]!
  let d = state[3]!
  let e = state[4]!
  let f = state[5]!
  let g = state[6]!
  let h = state[7]!
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + roundConstants[i]! + w[i]!) | 0
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  state[0] = state[0]! + a
  state[1] = state[1]! + b
  state[2] = state[2]! + c
  state[3] = state[3]! + d
  state[4] = state[4]! + e
  state[5] = state[5]! + f
  state[6] = state[6]! + g
  state[7] = state[7]! + h
}

/** First `hexDigits` (a multiple of 8, at most 64) hexadecimal digits of the SHA-256 of `bytes`. */
export function sha256Hex(bytes: Uint8Array, hexDigits: number): string {
  if (roundConstants[0] === 0) deriveConstants()
  const padded = new Uint8Array((((bytes.length + 8) >> 6) + 1) * 64)
  padded.set(bytes)
  padded[bytes.length] = 0x80
  const bits = bytes.length * 8
  for (let i = 0; i < 4; i++) padded[padded.length - 1 - i] = bits >>> (8 * i)
  const state = initialState.slice()
  for (let offset = 0; offset < padded.length; offset += 64) compress(state, padded, offset)
  let hex = ''
  for (let i = 0; i < hexDigits / 8; i++) hex += (state[i]! >>> 0).toString(16).padStart(8, '0')
  return hex
}
