import type { Payload } from './payload.ts'
import { isReadOnlyCommand } from './shell.ts'

/** What a tool call is going to change. */
export interface Intent {
  /** May it change anything? */
  readonly writes: boolean
  /** Files and directories that it names, as it spells them. Empty: it works where it stands. */
  readonly paths: readonly string[]
  /** It runs commands, so which files it changes cannot be told. */
  readonly shell: boolean
  /** The command line, when it may change something. `paths` then only says where it runs, and the line what it names. */
  readonly command: string | null
  /** What of it was not looked at, because it is too much. */
  readonly unseen?: string
}

/** Each is looked up in the file system. */
const maxPaths = 4096
/** How deep in the arguments of a server's tool a place is looked for. */
const maxDepth = 3

const none: Intent = { writes: false, paths: [], shell: false, command: null }

const shells = new Set([
  'bash',
  'powershell',
  'monitor',
  'shell',
  'sh',
  'run_shell_command',
  'exec_command',
  'local_shell',
  'execute_command',
  'terminal',
  'run_terminal_cmd',
  'write_bash',
])

const writers = new Set([
  'write',
  'edit',
  'multiedit',
  'notebookedit',
  'write_file',
  'replace',
  'notebook_edit',
  'create',
  'create_file',
  'edit_file',
  'delete_file',
  'str_replace',
  'str_replace_editor',
  'str_replace_based_edit_tool',
  'insert',
  'delete',
  'apply_patch',
  'patch',
  'multi_edit',
  'strreplace',
  'editnotebook',
  'search_replace',
  'exitworktree',
  'write_stdin',
])

// EnterWorktree is among them: it leaves this workspace for one of its own, which is what a second session should do.
const readers = new Set([
  'read',
  'glob',
  'grep',
  'ls',
  'list',
  'notebookread',
  'webfetch',
  'websearch',
  'toolsearch',
  'todowrite',
  'todoread',
  'task',
  'agent',
  'skill',
  'askuserquestion',
  'exitplanmode',
  'enterplanmode',
  'reportfindings',
  'listagents',
  'sendmessage',
  'bashoutput',
  'taskoutput',
  'taskstop',
  'killshell',
  'killbash',
  'croncreate',
  'crondelete',
  'cronlist',
  'schedulewakeup',
  'enterworktree',
  'workflow',
  'view',
  'read_file',
  'read_many_files',
  'list_directory',
  'search_file_content',
  'grep_search',
  'google_web_search',
  'web_fetch',
  'web_search',
  'save_memory',
  'todo_write',
  'update_plan',
  'view_image',
  'read_bash',
  'stop_bash',
  'list_bash',
  'report_intent',
  'fetch',
  'codebase_search',
  'readlints',
  'semanticsearch',
  'glob_file_search',
  'webfetchtool',
  'todoreadtool',
  'question',
  'exit_plan_mode',
])

const pathKeys = [
  'file_path',
  'filePath',
  'path',
  'notebook_path',
  'notebookPath',
  'target_file',
  'absolute_path',
  'filename',
  'file',
  'target_notebook',
  'destination',
  'source',
  'uri',
]
const pathLists = ['paths', 'files', 'file_paths', 'edits']
const directoryKeys = ['workdir', 'working_directory', 'workingDirectory', 'dir_path', 'directory', 'cwd']
/** In the name of an argument these speak of a place, unless it is something else of it. */
const placeWord = /path|^(?:files?|filenames?|dirs?|directory|directories|folders?|uris?)$/
const aboutPlace = /^(?:text|contents?|body|data|types?|mode|size|encoding|format|pattern|regex|ids?|keys?|hash|version|count|limit|depth)$/
const patchKeys = ['command', 'input', 'patch', 'patchText', 'patch_text', 'diff']

/** Verbs by which an MCP tool says that it changes files. */
const writingVerb =
  /^(?:write|edit|create|delete|remove|rm|move|mv|rename|patch|replace|insert|update|append|apply|save|set|put|copy|mkdir|touch|format|refactor|overwrite)$/
const runningVerb = /^(?:execute|exec|run|shell|bash|terminal|command|eval)$/
const gitVerb = /^(?:commit|checkout|switch|merge|rebase|reset|stash|push|pull|restore|clean|worktree)$/
const readingVerb =
  /^(?:read|view|list|ls|get|search|find|grep|glob|fetch|show|query|describe|lookup|count|stat|status|log|diff|help|think|ask)$/

/** What this tool call is going to change, judged by the tool's name and what it is given. */
export function intentOf(call: Pick<Payload, 'tool' | 'input' | 'mcp'>): Intent {
  const intent = whole(call)
  if (intent.paths.length <= maxPaths) return intent
  return { ...intent, paths: intent.paths.slice(0, maxPaths), unseen: `only the first ${maxPaths} paths of a tool call were looked at` }
}

function whole({ tool, input, mcp }: Pick<Payload, 'tool' | 'input' | 'mcp'>): Intent {
  if (tool === null) return none
  const name = tool.toLowerCase()
  if (mcp || /^mcp[_:]/.test(name)) return intentOfServer(tool, input)
  if (shells.has(name)) return shellIntent(name, input)
  if (writers.has(name)) return writeIntent(name, input)
  if (readers.has(name)) return none
  return intentOfStranger(tool, input)
}

/** How long the tool call may take as far as it says, milliseconds; null when it does not say. */
export function statedTimeoutMs({ tool, input }: Pick<Payload, 'tool' | 'input'>): number | null {
  const name = tool?.toLowerCase() ?? ''
  const stated =
    name === 'monitor' ? (input['timeout_ms'] ?? input['timeout']) : (input['timeout'] ?? input['timeout_ms'] ?? input['yield_time_ms'])
  return typeof stated === 'number' && Number.isFinite(stated) && stated > 0 ? stated : null
}

/** Does this tool run commands? */
export const isShell = (tool: string | null): boolean => tool !== null && shells.has(tool.toLowerCase())

function shellIntent(name: string, input: Payload['input']): Intent {
  const command = commandIn(input)
  const directories = pathsUnder(input, directoryKeys)
  if (command === null) return { writes: true, paths: directories, shell: true, command }
  // PowerShell has another grammar, in which nothing is certain here.
  if (name !== 'powershell' && isReadOnlyCommand(command)) return none
  return { writes: true, paths: directories, shell: true, command }
}

function writeIntent(name: string, input: Payload['input']): Intent {
  // One tool of several agents reads as well as writes, and says which in an argument.
  if (name.startsWith('str_replace') && input['command'] === 'view') return none
  const paths = [...pathsUnder(input, pathKeys), ...listed(input), ...patched(input)]
  return { writes: true, paths, shell: false, command: null }
}

/** MCP tools cannot be told apart for certain: a writing name, and something of ours that it could be about. */
function intentOfServer(tool: string, input: Payload['input']): Intent {
  const words = wordsOf(tool.slice(tool.includes('__') ? tool.lastIndexOf('__') + 2 : 0))
  const writing = words.some(word => writingVerb.test(word))
  const reading = words.some(word => readingVerb.test(word))
  const named = writing ? placesIn(input, 0) : null
  const known = [...pathsUnder(input, pathKeys), ...pathsUnder(input, directoryKeys), ...listed(input)]
  const paths = named === null ? known : [...new Set([...known, ...named.paths, ...patched(input)])]
  if (writing && (paths.length > 0 || (!reading && named?.mentioned === true))) return { writes: true, paths, shell: false, command: null }
  if (words.some(word => gitVerb.test(word)) && !reading) return { writes: true, paths, shell: true, command: null }
  const command = commandIn(input)
  if (words.some(word => runningVerb.test(word)) && command !== null && !isReadOnlyCommand(command))
    return { writes: true, paths, shell: true, command }
  return none
}

/** What servers call a path is theirs to say: every text counts whose name is about files. `mentioned`: there is such a name. */
function placesIn(input: Payload['input'], depth: number): { readonly paths: readonly string[]; readonly mentioned: boolean } {
  const paths: string[] = []
  let mentioned = false
  for (const [key, value] of Object.entries(input)) {
    const isPlace = pathKeys.includes(key) || pathLists.includes(key) || directoryKeys.includes(key) || namesPlace(key)
    mentioned ||= isPlace
    for (const item of Array.isArray(value) ? value.slice(0, maxPaths + 1) : [value]) {
      if (typeof item === 'string' && isPlace) paths.push(...pathIn(item))
      else if (typeof item === 'object' && item !== null && !Array.isArray(item) && depth < maxDepth) {
        const inner = placesIn(item as Payload['input'], depth + 1)
        paths.push(...inner.paths)
        mentioned ||= inner.mentioned
      }
    }
  }
  return { paths, mentioned }
}

/** `relative_path` and `pathInProject`, not `file_text`. */
function namesPlace(key: string): boolean {
  const words = wordsOf(key)
  return words.some(word => placeWord.test(word)) && !aboutPlace.test(words.at(-1)!)
}

/** A tool that nobody told us of: what it is given shows what it could do. */
function intentOfStranger(tool: string, input: Payload['input']): Intent {
  const words = wordsOf(tool)
  if (words.some(word => readingVerb.test(word)) && !words.some(word => writingVerb.test(word))) return none
  const command = commandIn(input)
  if (command !== null) return shellIntent('', input)
  const paths = [...pathsUnder(input, pathKeys), ...listed(input), ...patched(input)]
  return paths.length === 0 ? none : { writes: true, paths, shell: false, command: null }
}

function commandIn(input: Payload['input']): string | null {
  const command = input['command'] ?? input['cmd'] ?? input['script']
  if (typeof command === 'string') return command
  if (!Array.isArray(command) || !command.every(word => typeof word === 'string')) return null
  const [program, flag, text] = command
  if (command.length === 3 && /(?:^|\/)(?:ba|z|da)?sh$/.test(program ?? '') && /^-l?c$/.test(flag ?? '')) return text ?? null
  return command.map(word => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
}

function pathsUnder(input: Payload['input'], keys: readonly string[]): readonly string[] {
  return keys.flatMap(key => pathIn(input[key]))
}

function listed(input: Payload['input']): readonly string[] {
  return pathLists.flatMap(key => {
    const list = input[key]
    if (!Array.isArray(list)) return []
    return list
      .slice(0, maxPaths + 1)
      .flatMap(item => (typeof item === 'object' && item !== null ? pathsUnder(item as Payload['input'], pathKeys) : pathIn(item)))
  })
}

function pathIn(value: unknown): readonly string[] {
  if (typeof value !== 'string' || value === '' || value.length > 4096 || value.includes('\0')) return []
  return [/^file:/i.test(value) ? fileOfUri(value) : value]
}

/** What a `file:` URI names here, its escapes undone; of another host nothing is known, and the text stands for itself. */
function fileOfUri(uri: string): string {
  const path = /^file:(?:\/\/(?:localhost)?)?(\/.*)$/is.exec(uri)?.[1] ?? uri
  try {
    const plain = decodeURIComponent(path)
    return plain.includes('\0') ? path : plain
  } catch {
    return path
  }
}

/** The files that a patch is about, in the form of Codex or of diff. */
function patched(input: Payload['input']): readonly string[] {
  const found: string[] = []
  for (const key of patchKeys) {
    const text = input[key]
    if (typeof text !== 'string' || !/^\s*(?:\*\*\* |\+\+\+ )/m.test(text)) continue
    let updates = false
    for (const line of text.split('\n')) {
      // Codex takes blanks around it, but for those of a line that an update leaves as it is.
      const [, blank = '', what, codex] = /^(\s*)\*\*\* (Add File|Update File|Delete File|Move to): (.+?)\s*$/.exec(line) ?? []
      const isHead = what !== undefined && (blank === '' || !updates)
      if (isHead) updates = what.startsWith('Update') || what.startsWith('Move')
      const file = isHead ? codex : /^\+\+\+ (?:b\/)?([^\t\r]+)/.exec(line)?.[1]
      if (file !== undefined && file !== '/dev/null') found.push(...pathIn(file))
      if (found.length > maxPaths) return found
    }
  }
  return found
}

/** `createFile`, `create_file`, `create-file`: its words in small letters. */
const wordsOf = (name: string): readonly string[] =>
  name
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
