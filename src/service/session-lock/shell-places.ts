import { isReadOnlyGit } from './shell.ts'
import { shellItems, type ShellCommand, type Word } from './shell-words.ts'

// Where a command plainly writes, as far as it is written out: other worktrees than the one where it runs have locks of their own. What is
// only read counts nowhere, and what is not seen here is judged by the directory where the command runs.

/** Each is looked up in the file system. */
const maxPlaces = 4096
/** `sh -c "sh -c …"`. */
const maxDepth = 3

/** Words that stand before a command. */
const keywords = new Set(['if', 'then', 'elif', 'else', 'while', 'until', 'do', '!', '{'])

/** A program that runs what follows. */
interface Wrapper {
  /** Its options with a value, by their letters and by their long names. */
  readonly values?: string
  readonly longs?: readonly string[]
  /** The option that says where it works; its long name is `--chdir`. */
  readonly directory?: string
  /** How many words of its own come before what it runs. */
  readonly words?: number
}

const wrappers: Readonly<Record<string, Wrapper>> = {
  command: {},
  builtin: {},
  busybox: {},
  toybox: {},
  exec: { values: 'a' },
  nohup: {},
  setsid: {},
  time: { values: 'fo', longs: ['--format', '--output'] },
  env: { values: 'uS', longs: ['--unset', '--split-string'], directory: 'C' },
  sudo: {
    values: 'ughpCTRrtU',
    longs: ['--user', '--group', '--host', '--prompt', '--close-from', '--command-timeout', '--chroot', '--role', '--type', '--other-user'],
    directory: 'D',
  },
  doas: { values: 'uC' },
  nice: { values: 'n', longs: ['--adjustment'] },
  ionice: { values: 'cn', longs: ['--class', '--classdata'] },
  stdbuf: { values: 'ioe', longs: ['--input', '--output', '--error'] },
  timeout: { values: 'sk', longs: ['--signal', '--kill-after'], words: 1 },
  xargs: { values: 'InPLdaEs', longs: ['--max-args', '--max-procs', '--delimiter', '--arg-file', '--max-chars', '--process-slot-var'] },
  // What they assign holds for what follows.
  export: {},
  declare: {},
  typeset: {},
  readonly: {},
  local: {},
}

const shells = new Set(['sh', 'bash', 'dash', 'zsh', 'ksh'])

/** Options that name where a program works or what it writes. */
const namingOptions: Readonly<Record<string, readonly string[]>> = {
  make: ['-C', '--directory'],
  gmake: ['-C', '--directory'],
  ninja: ['-C'],
  npm: ['-C', '--prefix'],
  pnpm: ['-C', '--dir', '--prefix'],
  yarn: ['--cwd'],
  bun: ['--cwd'],
  go: ['-C'],
  cargo: ['-C', '--manifest-path'],
  cmake: ['-B', '--build', '--install'],
  patch: ['-d', '--directory', '-o', '--output'],
  unzip: ['-d'],
  curl: ['-o', '--output', '--output-dir'],
  wget: ['-O', '-P', '--output-document', '--directory-prefix'],
  cp: ['-t', '--target-directory'],
  mv: ['-t', '--target-directory'],
  ln: ['-t', '--target-directory'],
  install: ['-t', '--target-directory'],
  sort: ['-o', '--output'],
}

/** A place with all that is below it. */
export interface Tree {
  readonly path: string
  /** Only names in it that begin so are meant: a pattern follows, which means no name that begins with a dot unless this does. */
  readonly names?: string
  /** A link there is meant itself, and nothing that is behind it. */
  readonly keepsLink?: boolean
  /** Only what is in there too is written: it is copied from it. */
  readonly from?: string
  /** Where `path` is a directory, it is what has this name in it. */
  readonly into?: string
}

/** A word that names a tree; what else is known of it. */
interface TreeWord extends Omit<Tree, 'path' | 'names' | 'from'> {
  readonly word: Word
  readonly copied?: Word
}

type Choice<T> = (operands: readonly Word[], args: readonly Word[]) => readonly T[]

/** Which of their operands programs write, and of which they write all that is below as well. */
interface Writer {
  readonly values?: string
  readonly of: Choice<Word>
  readonly trees?: Choice<TreeWord>
}

const writers: Readonly<Record<string, Writer>> = {
  touch: { values: 'dtr', of: all },
  mkdir: { values: 'm', of: all },
  rmdir: { of: all },
  rm: { of: all, trees: (operands, args) => (hasOption(args, /^-[a-zA-Z]*[rR]|^--r/) ? operands.map(itself) : []) },
  unlink: { of: all },
  truncate: { values: 'sr', of: all },
  tee: { of: all },
  shred: { values: 'ns', of: all },
  mkfifo: { values: 'm', of: all },
  mv: { values: 'tS', of: all, trees: (operands, args) => (hasTarget(args) ? operands : operands.slice(0, -1)).map(itself) },
  chmod: { of: modeless, trees: (operands, args) => (isRecursive(args) ? modeless(operands, args).map(word => ({ word })) : []) },
  chown: { of: butReference, trees: ownerless },
  chgrp: { of: butReference, trees: ownerless },
  cp: { values: 'tS', of: last, trees: (operands, args) => (hasOption(args, /^-[a-zA-Z]*[rRa]|^--r|^--ar/) ? copies(operands, args) : []) },
  ln: { values: 'tS', of: last },
  install: { values: 'tSmog', of: last },
  rsync: { values: 'ef', of: last, trees: synchronised },
  scp: { values: 'iPoFcJl', of: last },
  dd: { of: operands => operands.flatMap(({ text, whole }) => (text.startsWith('of=') ? [{ text: text.slice(3), whole }] : [])) },
  sed: { values: 'efl', of: (operands, args) => (hasOption(args, /^(?:-[nrEsuz]*i|--i)/) ? inPlace(operands, args) : []) },
  perl: { values: 'eEIMm', of: (operands, args) => (hasOption(args, /^-[aclnpstuwWXTUfxgh0-9]*i/) ? inPlace(operands, args) : []) },
  // Of an archive it depends on what is done with it.
  tar: {
    of: (_, args) =>
      valuesOf(args, hasOption(args.slice(0, 1), /^-?[a-zA-Z]*x|^--ext|^--get/) ? ['-C', '--directory'] : ['--file']).concat(
        hasOption(args.slice(0, 1), /^-?[a-zA-Z]*[cru][a-zA-Z]*f$/) ? args.slice(1, 2) : [],
      ),
  },
  find: {
    of: (_, args) => (hasOption(args, /^-(?:delete|exec|ok|fprint|fls)/) ? startsOf(args) : []),
    trees: (_, args) => {
      if (!changesFound(args) || valuesOf(args, ['-maxdepth']).some(({ text }) => /^[01]$/.test(text))) return []
      const keepsLink = !hasOption(args, /^-[HL]$/)
      const starts = startsOf(args)
      return (starts.length > 0 ? starts : [here]).map(word => ({ word, keepsLink }))
    },
  },
}

const here: Word = { text: '.', whole: true }

/** Where `find` begins. */
function startsOf(args: readonly Word[]): readonly Word[] {
  let from = 0
  for (; /^-(?:[HLP]|O\d*|D)$/.test(args[from]?.text ?? ''); from++) if (args[from]!.text === '-D') from++
  const places = args.slice(from)
  const end = places.findIndex(({ text }) => /^[-(!]/.test(text))
  return places.slice(0, Math.max(0, end))
}

/** Does `find` delete what it finds, or run something that writes it? */
function changesFound(args: readonly Word[]): boolean {
  return args.some(({ text }, at) => {
    if (text === '-delete') return true
    if (!/^-(?:exec|ok)(?:dir)?$/.test(text)) return false
    const [program, ...rest] = args.slice(at + 1)
    const name = program?.text.slice(program.text.lastIndexOf('/') + 1) ?? ''
    const end = rest.findIndex(word => word.text === '+' || word.text === ';')
    const own = end < 0 ? rest : rest.slice(0, end)
    const writer = Object.hasOwn(writers, name) ? writers[name]! : null
    return writer?.of(operandsOf(own, writer.values ?? ''), own).some(word => word.text.includes('{}') || !word.whole) === true
  })
}

/** What is moved or removed: a link goes, and what it leads to stays. */
const itself = (word: Word): TreeWord => ({ word, keepsLink: !word.text.endsWith('/') })

const isRecursive = (args: readonly Word[]): boolean => hasOption(args, /^-[a-zA-Z]*R|^--rec/)

const hasTarget = (args: readonly Word[]): boolean => valuesOf(args, namingOptions['cp']!).length > 0

/** `-x` is a mode too. */
function modeless(operands: readonly Word[], args: readonly Word[]): readonly Word[] {
  return hasOption(args, /^-[rwxXst]/) ? operands : butReference(operands, args)
}

function ownerless(operands: readonly Word[], args: readonly Word[]): readonly TreeWord[] {
  return isRecursive(args) ? butReference(operands, args).map(word => ({ word, keepsLink: !hasOption(args, /^-[a-zA-Z]*[HL]/) })) : []
}

/** Of what is copied, each below its own name where the target is a directory. */
function copies(operands: readonly Word[], args: readonly Word[]): readonly TreeWord[] {
  const named = valuesOf(args, namingOptions['cp']!)
  const [target] = named.length > 0 ? named : last(operands)
  const sources = named.length > 0 ? operands : operands.slice(0, -1)
  if (target === undefined) return []
  const isPlain = hasOption(args, /^-[a-zA-Z]*T|^--no-t/)
  return sources.map(copied => ({ word: target, copied, ...(isPlain ? {} : namedInto(copied)) }))
}

/** What is deleted at the target, and else what is there too. */
function synchronised(operands: readonly Word[], args: readonly Word[]): readonly TreeWord[] {
  const [target] = last(operands)
  const deletes = hasOption(args, /^--del/)
  if (target === undefined || !(deletes || hasOption(args, /^-[a-zA-Z]*[ra]|^--rec|^--arch/))) return []
  return operands.slice(0, -1).map(copied => ({
    word: target,
    ...(deletes ? {} : { copied }),
    ...(copied.text.endsWith('/') ? {} : namedInto(copied)),
  }))
}

/** `a/.` is put into the target itself. */
function namedInto({ text, whole }: Word): { readonly into?: string } {
  const name = /([^/]+)\/*$/.exec(text)?.[1] ?? ''
  return !whole || name === '' || name === '.' || name === '..' ? {} : { into: name }
}

function all(operands: readonly Word[]): readonly Word[] {
  return operands
}

/** The first operand is the mode or the owner, unless it is that of another file. */
function butReference(operands: readonly Word[], args: readonly Word[]): readonly Word[] {
  const read = valuesOf(args, ['--reference'])
  return read.length === 0 ? operands.slice(1) : operands.filter(word => !read.includes(word))
}

/** One operand alone is read, and what is made of it is made where the command runs. */
function last(operands: readonly Word[]): readonly Word[] {
  return operands.length < 2 ? [] : operands.slice(-1)
}

/** The first operand is the program, unless an option gave it. */
const inPlace = (operands: readonly Word[], args: readonly Word[]): readonly Word[] =>
  hasOption(args, /^(?:-\w*[eEf]$|--expression|--file)/) ? operands : operands.slice(1)

/** Longer words are no options. */
const maxOption = 256

const hasOption = (args: readonly Word[], pattern: RegExp): boolean =>
  args.some(({ text }) => text.length <= maxOption && pattern.test(text))

/** What a command plainly writes. */
export interface Written {
  readonly places: readonly string[]
  /** Of these all that is below them as well. */
  readonly trees: readonly Tree[]
}

/**
 * Directories and files that a command goes to or writes: `cd x && …`, `git -C x …`, `touch x`, `… > x`; and what it writes as a whole:
 * `rm -r x`, `mv x y`. `start`: where it runs, when that is told; without it names stay relative. `onLimit` is told of what was not looked at.
 */
export function writtenBy(command: string, start: string | undefined, onLimit: (what: string) => void = () => undefined): Written {
  const places = new Places()
  places.walk(command, start, 0)
  if (places.cut) onLimit('a command is so long that not all of it was looked at')
  return { places: [...places.found], trees: places.trees }
}

/** Null: a place that is not known. */
type Base = string | null | undefined

class Places {
  readonly found = new Set<string>()
  readonly trees: Tree[] = []
  /** Some of it was too much. */
  cut = false

  walk(text: string, start: Base, depth: number): void {
    let base = start
    const above: Base[] = []
    for (const item of shellItems(text, () => (this.cut = true))) {
      if (item === '(') above.push(base)
      else if (item === ')') base = above.length === 0 ? base : above.pop()
      else base = this.#command(item, base, start, depth)
    }
  }

  /** Where the next command works. */
  #command({ words, writes }: ShellCommand, base: Base, start: Base, depth: number): Base {
    for (const word of writes) this.#add(resolved(base, word))
    const { name, args, at } = this.#unwrapped(words, base)
    if (name === 'cd' || name === 'pushd') {
      const [operand] = operandsOf(args, '')
      return operand === undefined || operand.text === '-' ? null : this.#goTo(base, operand)
    }
    if (name === 'popd') return start
    if (shells.has(name) || name === 'eval') this.#nested(name, args, at, depth)
    else if (name === 'git') this.#git(args, at)
    else {
      for (const word of valuesOf(args, Object.hasOwn(namingOptions, name) ? namingOptions[name]! : [])) this.#add(resolved(at, word))
      const writer = Object.hasOwn(writers, name) ? writers[name]! : null
      const operands = operandsOf(args, writer?.values ?? '')
      for (const word of writer?.of(operands, args) ?? []) this.#add(resolved(at, word))
      for (const tree of writer?.trees?.(operands, args) ?? []) this.#addTree(at, tree)
    }
    return base
  }

  /** The program and its arguments without what stands before them, and where it runs. */
  #unwrapped(words: readonly Word[], base: Base): { readonly name: string; readonly args: readonly Word[]; readonly at: Base } {
    let place = base
    for (let at = 0; at < words.length; at++) {
      const { text, whole } = words[at]!
      const assigned = /^([A-Za-z_]\w*)=/.exec(text)
      if (assigned !== null) {
        if (/^GIT_(?:DIR|WORK_TREE)$/.test(assigned[1]!)) this.#add(topOf(resolved(place, { text: text.slice(assigned[0].length), whole })))
        continue
      }
      if (keywords.has(text)) continue
      const name = whole ? text.slice(text.lastIndexOf('/') + 1) : ''
      const wrapper = Object.hasOwn(wrappers, name) ? wrappers[name]! : null
      if (wrapper === null) return { name, args: words.slice(at + 1), at: place }
      for (; words[at + 1]?.text.startsWith('-') === true; at++) {
        const option = optionOf(words[at + 1]!, words[at + 2], wrapper)
        if (option.directory !== undefined) place = this.#goTo(place, option.directory)
        if (option.separate) at++
      }
      at += wrapper.words ?? 0
    }
    return { name: '', args: [], at: place }
  }

  #nested(name: string, args: readonly Word[], at: Base, depth: number): void {
    if (depth >= maxDepth) return
    const words = name === 'eval' ? args : commandOf(args)
    // Of an unfinished word the beginning is a beginning of the command.
    if (words.length > 0) this.walk(words.map(({ text }) => text).join(' '), at, depth + 1)
  }

  #git(args: readonly Word[], at: Base): void {
    if (args.every(({ whole }) => whole) && isReadOnlyGit(args.map(({ text }) => text))) return
    let place = at
    for (const word of valuesOf(args.slice(0, commandAt(args)), ['-C'])) place = this.#goTo(place, word)
    for (const word of valuesOf(args, ['--git-dir', '--work-tree'])) this.#add(topOf(resolved(place, word)))
    const [command, verb, ...operands] = operandsOf(args.slice(commandAt(args)), '')
    if (command?.text === 'worktree' && /^(?:remove|move)$/.test(verb?.text ?? ''))
      for (const word of operands) this.#add(resolved(place, word))
    if (command?.text === 'worktree' && verb?.whole === true && operands[0] !== undefined) this.#addTree(place, { word: operands[0] })
    if (command?.text === 'clean' && removesRepositories(args)) this.#addTree(place, { word: here })
  }

  /** Where it works next: of a word that is not whole only the beginning is known. */
  #goTo(base: Base, word: Word): Base {
    const place = resolved(base, word)
    this.#add(place)
    return word.whole ? place : null
  }

  #addTree(base: Base, { word, copied, ...rest }: TreeWord): void {
    const path = topOfWord(base, word)
    const from = copied === undefined ? undefined : topOfWord(base, copied)
    // Of what is copied from a place that is not known nobody can say what is there.
    if (path === null || from === null) return
    if (this.trees.length >= maxPlaces) {
      this.cut = true
      return
    }
    const names = word.whole ? {} : { names: word.text.slice(word.text.lastIndexOf('/') + 1) }
    this.trees.push({ path, ...rest, ...names, ...(from === undefined ? {} : { from }) })
  }

  #add(place: Base): void {
    if (typeof place !== 'string' || place.startsWith('/dev/')) return
    if (this.found.size < maxPlaces) this.found.add(place)
    else this.cut ||= !this.found.has(place)
  }
}

/** Once `git clean` leaves other repositories and worktrees alone; twice it does not. */
function removesRepositories(args: readonly Word[]): boolean {
  const options = args.map(({ text }) => text).filter(text => text.startsWith('-'))
  const forces = options.flatMap(text =>
    text.startsWith('--') ? (text === '--force' ? ['f'] : []) : text.split('').filter(each => each === 'f'),
  )
  return forces.length > 1 && !options.some(text => /^--dry|^-[a-zA-Z]*n/.test(text))
}

/** What an option of a wrapper is given. `separate`: it is the next word. */
function optionOf(
  word: Word,
  next: Word | undefined,
  { values = '', longs = [], directory = '' }: Wrapper,
): { readonly directory?: Word; readonly separate: boolean } {
  const { text, whole } = word
  if (text.startsWith('--')) {
    const isDirectory = directory !== '' && /^--chdir(?:=|$)/.test(text)
    if (isDirectory && text.includes('=')) return { directory: { text: text.slice('--chdir='.length), whole }, separate: false }
    if (isDirectory && next !== undefined) return { directory: next, separate: true }
    return { separate: longs.includes(text) }
  }
  for (let at = 1; at < text.length; at++) {
    const letter = text.charAt(at)
    if (letter !== directory && !values.includes(letter)) continue
    const separate = whole && at === text.length - 1
    const value = separate ? next : { text: text.slice(at + 1), whole }
    return letter === directory && value !== undefined ? { directory: value, separate } : { separate }
  }
  return { separate: false }
}

/** What `sh -c` runs: the first word behind the options, wherever among them the letter is. */
function commandOf(args: readonly Word[]): readonly Word[] {
  let runs = false
  for (let at = 0; at < args.length; at++) {
    const { text } = args[at]!
    if (text === '--' || text === '-') return runs ? args.slice(at + 1, at + 2) : []
    if (!/^[-+]/.test(text)) return runs ? args.slice(at, at + 1) : []
    if (/^--(?:rcfile|init-file)$/.test(text)) at++
    if (text.startsWith('--')) continue
    runs ||= text.startsWith('-') && text.includes('c')
    if (/o/i.test(text)) at++
  }
  return []
}

/** Where Git's own command begins. */
function commandAt(args: readonly Word[]): number {
  for (let at = 0; at < args.length; at++) {
    const { text } = args[at]!
    if (!text.startsWith('-')) return at
    if (/^(?:-C|-c|--git-dir|--work-tree|--namespace|--exec-path)$/.test(text)) at++
  }
  return args.length
}

/** What these options are given: `-C x`, `-Cx`, `-sC x`, `--directory x`, `--directory=x`. */
function valuesOf(args: readonly Word[], options: readonly string[]): readonly Word[] {
  return args.flatMap(({ text, whole }, at) => {
    const isLast = /^-[A-Za-z]{2,}$/.test(text) && options.includes(`-${text.slice(-1)}`)
    if (options.includes(text) || isLast) return args.slice(at + 1, at + 2)
    const option = options.find(name => (name.startsWith('--') ? text.startsWith(`${name}=`) : text.startsWith(name)))
    return option === undefined ? [] : [{ text: text.slice(option.length + (option.startsWith('--') ? 1 : 0)), whole }]
  })
}

/** Words that are no options and no values of these one-letter options. */
function operandsOf(args: readonly Word[], values: string): readonly Word[] {
  const operands: Word[] = []
  for (let at = 0; at < args.length; at++) {
    const { text } = args[at]!
    if (text === '--') return [...operands, ...args.slice(at + 1)]
    if (!text.startsWith('-') || text === '-') operands.push(args[at]!)
    else if (!text.startsWith('--') && values.includes(text.slice(-1))) at++
  }
  return operands
}

/** The place that a word names, or the directory that a pattern looks in; null: neither is known. */
function topOfWord(base: Base, word: Word): string | null {
  if (word.whole) return resolved(base, word)
  if (word.pattern !== true) return null
  return word.text.includes('/') ? resolved(base, word) : base === undefined ? '.' : base
}

/** The place that a word names; of one that is not whole, the directory that it begins with. */
function resolved(base: Base, { text, whole }: Word): string | null {
  const path = whole ? text : text.slice(0, text.lastIndexOf('/') + 1)
  if (path === '' || path.length > 4096 || path.includes('\0')) return null
  if (path.startsWith('/') || base === undefined) return path
  // No system takes a longer one.
  return base === null || base.length + path.length > 4096 ? null : `${base}/${path}`
}

/** The worktree of a `.git` directory. */
const topOf = (place: Base): Base => (typeof place === 'string' ? place.replace(/\/\.git\/?$/, '') : place)
