// Which commands certainly change nothing. Whatever this does not understand changes something: a wrong no costs a wait, a wrong yes a
// collision. It knows plain words, quotes, pipes and lists of commands; no variables, no substitutions, no redirection into files.

/** One command of a line. */
interface Simple {
  readonly words: readonly string[]
  /** A word of it is a pattern that could become anything, an option too. */
  readonly wild: boolean
}

/** Longer lines are programs. */
const maxLength = 4096

/** May be given anything. */
const harmless = new Set([
  'ls',
  'pwd',
  'cat',
  'head',
  'tail',
  'wc',
  'echo',
  'true',
  'false',
  ':',
  'whoami',
  'id',
  'uname',
  'which',
  'stat',
  'du',
  'df',
  'basename',
  'dirname',
  'realpath',
  'readlink',
  'cut',
  'tr',
  'nl',
  'tac',
  'rev',
  'cmp',
  'diff',
  'comm',
  'grep',
  'egrep',
  'fgrep',
  'md5sum',
  'sha1sum',
  'sha256sum',
  'cksum',
  'ps',
  'printenv',
  'jq',
  'seq',
  'sleep',
  'test',
  '[',
  'column',
  'fold',
  'od',
  'hexdump',
  'strings',
  'nproc',
  'uptime',
  'free',
  'tty',
  'groups',
  'cd',
  'type',
])

/**
 * How each of them says its version, beside `--version`. Elsewhere `-v` means to say more while working, and a bare word is a script or a
 * target.
 */
const versions: Readonly<Record<string, readonly string[]>> = {
  node: ['-v'],
  npm: ['-v', 'version'],
  pnpm: ['-v'],
  yarn: ['-v'],
  bun: ['-v'],
  deno: ['-V'],
  python: ['-V'],
  python3: ['-V'],
  pip: ['-V'],
  pip3: ['-V'],
  ruby: ['-v'],
  java: ['-version'],
  rustc: ['-V'],
  cargo: ['-V', 'version'],
  tsc: ['-v'],
  make: ['-v'],
  gcc: ['-v'],
  clang: ['-v'],
  git: ['-v', 'version'],
  lh: ['-v'],
  leasehold: ['-v'],
}

/** Commands that change nothing with the right arguments. */
const judged: Readonly<Record<string, (args: readonly string[]) => boolean>> = {
  date: args => args.every(arg => arg.startsWith('+') || arg === '-u' || arg === '-R'),
  hostname: args => args.length === 0,
  // On macOS it runs what stands behind it.
  arch: args => args.length === 0,
  env: args => args.length === 0,
  file: args => args.every(arg => !/^-\w*C|^--c/.test(arg)),
  rg: args => args.every(arg => !/^--(?:pre|hostname)/.test(arg)),
  find: args => args.every(arg => !/^-(?:exec|ok|delete|fprint|fls)/.test(arg)),
  sort: args => args.every(arg => !arg.startsWith('-') || /^-[bdfghiMnRrVuzcs]+$|^-k[0-9.,bdfghinr]*$|^-t.?$/.test(arg)),
  uniq: args => args.every(arg => /^-[cdDuiz]+$|^-[fsw][0-9]+$/.test(arg)),
  tree: args => args.every(arg => !/^-\w*[oR]|^--o/.test(arg)),
  sed: ([quiet, script, ...files]) =>
    quiet === '-n' && /^[0-9$]+(?:,[0-9$]+)?p$/.test(script ?? '') && files.every(file => !file.startsWith('-')),
  git: args => isReadOnlyGit(args),
  lh: args => isReadOnlyLeasehold(args),
  leasehold: args => isReadOnlyLeasehold(args),
}

const gitReaders = new Set([
  'status',
  'log',
  'show',
  'diff',
  'blame',
  'annotate',
  'ls-files',
  'ls-tree',
  'rev-parse',
  'rev-list',
  'describe',
  'cat-file',
  'shortlog',
  'grep',
  'for-each-ref',
  'name-rev',
  'merge-base',
  'cherry',
  'count-objects',
  'show-ref',
  'diff-tree',
  'show-branch',
  'whatchanged',
  'version',
  'check-ignore',
  'check-attr',
  'var',
])

/** Of commands that read or write, the arguments with which they read. */
const gitQuestions: Readonly<Record<string, (args: readonly string[]) => boolean>> = {
  branch: args =>
    args.every(arg => /^(?:-[arv]+|-vv|--all|--remotes|--verbose|--list|--show-current|--no-color|--color=\w+|--sort=[\w-]+)$/.test(arg)),
  tag: args => args.every(arg => /^(?:-l|--list|-n[0-9]*|--sort=[\w:-]+)$/.test(arg)),
  remote: args => args.every(arg => /^(?:-v|--verbose)$/.test(arg)) || (args[0] === 'get-url' && args.length === 2),
  stash: args => args[0] === 'list' || (args[0] === 'show' && args.length < 3),
  worktree: args => args[0] === 'list',
  config: args => /^(?:--list|-l|list|--get|--get-all|get)$/.test(args[0] ?? '') && args.length <= 2,
  reflog: args => args.length === 0 || args[0] === 'show',
  submodule: args => args[0] === 'status' && args.length === 1,
}

/** Options of Git's readers that write a file or run a program. Git takes any beginning of a long option for the whole. */
const gitWrites = /^(?:--o(?!neline$)|--ext|--exe|--up|-O|--open|--textc)/

const leaseholdReaders =
  /^(?:whoami|status|why|verify|schema|help|claim (?:status|list|check|history)|ticket (?:list|show)|gate (?:list|history)|config (?:list|get|explain)|session-lock status|worktree list|hooks status)$/

/** These run commands that stand behind their own words. */
const leaseholdRunners = /^(?:exec|work|launch|session|hook|git-hook)$/

/** Does this command certainly change nothing? */
export function isReadOnlyCommand(command: string): boolean {
  const commands = parse(command)
  return commands !== null && commands.length > 0 && commands.every(isHarmless)
}

function isHarmless({ words, wild }: Simple): boolean {
  const [name = '', ...args] = words
  if (harmless.has(name)) return true
  if (args.length === 1 && Object.hasOwn(versions, name) && (args[0] === '--version' || versions[name]!.includes(args[0]!))) return true
  // A pattern may become an option that writes.
  return !wild && Object.hasOwn(judged, name) && judged[name]!(args)
}

/** Do these arguments only make Git read? */
export function isReadOnlyGit(args: readonly string[]): boolean {
  let at = 0
  for (; at < args.length; at++) {
    if (args[at] === '--no-pager' || args[at] === '-P') continue
    if (args[at] === '-C' && args[at + 1] !== undefined) at++
    else break
  }
  const [command = '', ...rest] = args.slice(at)
  if (rest.some(arg => gitWrites.test(arg))) return false
  if (gitReaders.has(command)) return true
  return Object.hasOwn(gitQuestions, command) && gitQuestions[command]!(rest)
}

function isReadOnlyLeasehold(args: readonly string[]): boolean {
  // A value of an option is not told from a word here, so options that take one are not understood before the command.
  const words = args.filter(arg => arg !== '--json' && arg !== '--quiet')
  if (isHelp(words)) return true
  if (words.some(word => /^--(?:sweep|fix)/.test(word))) return false
  return leaseholdReaders.test(words[0] ?? '') || leaseholdReaders.test(words.slice(0, 2).join(' '))
}

/**
 * Behind another option or `--` the same word may be a value, or an argument of a command that is run. Of those that run one, help is not
 * told from work at all.
 */
function isHelp(words: readonly string[]): boolean {
  if (!/^(?:--help|-h)$/.test(words.at(-1) ?? '')) return false
  return !leaseholdRunners.test(words[0] ?? '') && words.slice(0, -1).every(word => !word.startsWith('-'))
}

/** The simple commands of a line, or null when there is anything in it that is not certain. */
function parse(command: string): readonly Simple[] | null {
  if (command.length > maxLength || /[\u0000-\u0008\u000b-\u001f\u007f]/.test(command)) return null
  const commands: Simple[] = []
  let words: string[] = []
  let wild = false
  let word: string | null = null
  const endWord = (): void => {
    if (word !== null) words.push(word)
    word = null
  }
  const endCommand = (): void => {
    endWord()
    if (words.length > 0) commands.push({ words, wild })
    words = []
    wild = false
  }
  for (let at = 0; at < command.length; at++) {
    const sign = command.charAt(at)
    if (sign === "'") {
      const end = command.indexOf("'", at + 1)
      if (end < 0) return null
      word = (word ?? '') + command.slice(at + 1, end)
      at = end
    } else if (sign === '"') {
      const end = command.indexOf('"', at + 1)
      if (end < 0) return null
      const inside = command.slice(at + 1, end)
      if (/[$`\\!]/.test(inside)) return null
      word = (word ?? '') + inside
      at = end
    } else if (sign === ' ' || sign === '\t') {
      endWord()
    } else if (sign === '\n' || sign === ';') {
      if (sign === ';' && words.length === 0 && word === null) return null
      endCommand()
    } else if (sign === '|') {
      if (words.length === 0 && word === null) return null
      if (command.charAt(at + 1) === '&') return null
      if (command.charAt(at + 1) === '|') at++
      endCommand()
    } else if (sign === '&') {
      const redirect = /^&>>?[ ]?\/dev\/null(?![^\s;|&])/.exec(command.slice(at))
      if (redirect !== null) {
        endWord()
        at += redirect[0].length - 1
      } else {
        // One alone puts into the background.
        if (command.charAt(at + 1) !== '&' || (words.length === 0 && word === null)) return null
        at++
        endCommand()
      }
    } else if (sign === '>') {
      // Only away, or from one stream to another.
      const redirect = /^>(?:>?[ ]?\/dev\/null(?![^\s;|&])|&[12](?![^\s;|&]))/.exec(command.slice(at))
      if (redirect === null) return null
      if (word !== null && !/^[12]$/.test(word)) return null
      word = null
      at += redirect[0].length - 1
    } else if (sign === '*' || sign === '?' || sign === '[') {
      // In a word that begins with something else it stays no option.
      if (sign === '[' && (word !== null || !/^\[\s/.test(command.slice(at)))) return null
      if (sign !== '[' && (word === null || word === '')) wild = true
      word = (word ?? '') + sign
    } else if (/[$`\\(){}<!#]/.test(sign)) {
      return null
    } else {
      // An assignment before a command changes what the command does.
      if (sign === '=' && words.length === 0) return null
      word = (word ?? '') + sign
    }
  }
  endCommand()
  return commands
}
