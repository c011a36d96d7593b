/** What somebody pressed: a key by its name, or what it types. */
export type Key = { readonly name: KeyName } | { readonly text: string }

export type KeyName = 'up' | 'down' | 'page-up' | 'page-down' | 'home' | 'end' | 'enter' | 'escape' | 'backspace' | 'interrupt' | 'suspend'

/** The end of an escape sequence, after `ESC [` or `ESC O`. */
const sequences: Readonly<Record<string, KeyName>> = {
  A: 'up',
  B: 'down',
  H: 'home',
  F: 'end',
  '1~': 'home',
  '4~': 'end',
  '5~': 'page-up',
  '6~': 'page-down',
}

const controls: Readonly<Record<string, KeyName>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\u0003': 'interrupt',
  '\u001a': 'suspend',
  '\u007f': 'backspace',
  '\b': 'backspace',
}

/** The keys in what a terminal sent at once. Sequences that mean nothing here are left out; an escape alone is the key. */
export function keysIn(chunk: string): readonly Key[] {
  const keys: Key[] = []
  for (const [all, end] of chunk.matchAll(/\u001b(?:\[|O)([0-9;]*[A-Za-z~])|\u001b|[^]/gu)) {
    const name = end === undefined ? (all === '\u001b' ? 'escape' : controls[all]) : sequences[end]
    if (name !== undefined) keys.push({ name })
    else if (end === undefined && all >= ' ') keys.push({ text: all })
  }
  return keys
}
