// @ts-check
/**
 * Writes what the documents take from the code: docs/reference.md from the command table, the table in docs/config.md from the settings,
 * and docs/schema/*.json from the schemas. `--check` writes nothing and fails, naming each file that is not what it would write.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import * as esbuild from 'esbuild'
import { format } from 'oxfmt'

const root = path.dirname(import.meta.dirname)
const docs = path.join(root, 'docs')
const check = process.argv.includes('--check')

const { everyCommand, globalOptions, exitCodes, settings, variableOf, catalogue } = await load(`
  export { everyCommand } from './src/door/cli/table.ts'
  export { globalOptions } from './src/door/cli/parse.ts'
  export { exitCodes } from './src/door/cli/output.ts'
  export { settings, variableOf } from './src/service/config/schema.ts'
  export { catalogue } from './src/service/schema/catalogue.ts'
`)
const commands = await everyCommand()

/**
 * Node 20 does not read TypeScript, so the modules are bundled in memory; what they load lazily is not needed here.
 * @param {string} contents
 */
async function load(contents) {
  const { outputFiles } = await esbuild.build({
    stdin: { contents, resolveDir: root, loader: 'ts' },
    bundle: true,
    write: false,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    plugins: [
      {
        name: 'leave-lazy-imports',
        setup: build =>
          build.onResolve({ filter: /./ }, args =>
            args.kind === 'dynamic-import' && !args.path.startsWith('./tables/') ? { path: args.path, external: true } : undefined,
          ),
      },
    ],
  })
  const [bundle] = outputFiles
  if (bundle === undefined) throw new Error('esbuild made nothing')
  return import(`data:text/javascript;base64,${Buffer.from(bundle.text).toString('base64')}`)
}

/** @param {{ name: string, value?: string, optional?: boolean }} option */
const named = ({ name, value, optional }) => (value === undefined ? `--${name}` : optional ? `--${name}[=${value}]` : `--${name} ${value}`)

/** @param {string} text */
const cell = text => text.replaceAll('|', '\\|').replaceAll(/<([^>]+)>/g, '&lt;$1&gt;')

/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
const table = (head, rows) => [head, head.map(() => '---'), ...rows].map(row => `| ${row.join(' | ')} |`)

/** @param {any} spec */
function section({ path: words, usage, summary, details, options, examples }) {
  return [
    `## \`lh ${words}${usage === '' ? '' : ` ${usage}`}\``,
    '',
    `${summary[0].toUpperCase()}${summary.slice(1)}.`,
    ...(details === undefined ? [] : ['', cell(details)]),
    ...(options.length === 0
      ? []
      : [
          '',
          ...table(
            ['option', 'what it does'],
            options.map((/** @type {any} */ each) => [`\`${named(each).replaceAll('|', '\\|')}\``, cell(each.doc)]),
          ),
        ]),
    ...(examples === undefined ? [] : ['', '```sh', ...examples, '```']),
    '',
  ]
}

/** @type {Record<string, string>} */
const meanings = {
  internal: 'a bug or an unexpected system error; nothing was acknowledged',
  usage: 'bad arguments, bad configuration, bad input',
  held: 'refused: somebody else holds it',
  not_found: 'no such lease, or nobody holds it',
  not_owner: 'it is held, and not by you',
  superseded: 'your lease expired, was evicted, or your token is old: stop writing',
  unavailable: 'the store cannot answer (busy, damaged, disk full, no access): what is held is UNKNOWN, never treated as free',
  policy:
    'a limit, an indefinite lease without a reason, a gate that is not passed, a ticket that cannot be claimed, or nobody has said who acts',
  timeout: 'waited, and it did not become free',
  launch_failed: 'the agent that was launched did not come to work; no claim, session or process is left of it',
}

function reference() {
  return [
    '# Commands',
    '',
    '<!-- Written by scripts/reference.mjs from the command table (src/door/cli/table.ts). Change it there. -->',
    '',
    'A resource is `<kind>:<name>`, for example `ticket:fix-login`, `path:src/login/**`, `env:staging`; a bare word is a ticket. Each has one key, however',
    'it is spelled: a path may be absolute, a branch as Git says it (`branch:refs/heads/main`), a worktree as `lh whoami` shows it (`wt:1a2b3c4d`). A',
    'symbolic link in the repository is a path of its own. A duration is',
    '`600` (seconds), `300ms`, `10m`, `2h` or `1h30m`. What `--json` prints is published as JSON Schema: `lh schema`, or [docs/schema](schema).',
    '',
    '## Every command takes',
    '',
    ...table(
      ['option', 'what it does'],
      globalOptions.map((/** @type {any} */ each) => [`\`${named(each)}\``, cell(each.doc)]),
    ),
    '',
    'Without `--json`, answers go to standard output as text, warnings and errors to standard error; colour and progress only on a terminal',
    '(`NO_COLOR` is respected). With `--json`, standard output is one document: `{"ok":true, …}`, or `{"ok":false,"error":{"code", "exit", "message",',
    '"hint", …}}` with the same exit code.',
    '',
    '## Exit codes',
    '',
    ...table(
      ['code', 'name', 'meaning'],
      [
        ['0', 'ok', 'done; also: there was nothing to do'],
        ...Object.entries(exitCodes).map(([name, code]) => [String(code), name, meanings[name] ?? missing(name)]),
      ],
    ),
    '',
    '`lh exec` passes the exit code of its command through, 128 + n when a signal ended it; a lost lease is 6.',
    '',
    ...commands.flatMap(section),
  ].join('\n')
}

/** @param {string} what @returns {never} */
function missing(what) {
  throw new Error(`scripts/reference.mjs has no words for ${what}`)
}

function settingsTable() {
  const rows = Object.entries(settings).map(([key, setting]) => {
    const { doc, default: fallback, layers } = setting
    return [
      `\`${key}\``,
      fallback === null ? '–' : `\`${fallback}\``,
      cell(doc),
      layers.length === 5 ? 'everywhere' : layers.join(', '),
      `\`${variableOf(key)}\``,
    ]
  })
  return table(['key', 'default', 'what it does', 'where it may be set', 'variable'], rows).join('\n')
}

const stale = /** @type {string[]} */ ([])

/** @param {string} file @param {string} content */
function put(file, content) {
  let present = ''
  try {
    present = readFileSync(file, 'utf8')
  } catch {
    // It is written now.
  }
  if (present === content) return
  stale.push(path.relative(root, file))
  if (!check) writeFileSync(file, content)
}

mkdirSync(path.join(docs, 'schema'), { recursive: true })
put(path.join(docs, 'reference.md'), reference())

const config = path.join(docs, 'config.md')
const marked = /(<!-- settings: written by scripts\/reference.mjs -->\n)[^]*?(<!-- end -->)/
const text = readFileSync(config, 'utf8')
if (!marked.test(text)) throw new Error('docs/config.md has lost its marks')
put(
  config,
  text.replace(marked, (_, start, end) => `${start}\n${settingsTable()}\n\n${end}`),
)

for (const { name, schema } of catalogue) {
  const file = path.join(docs, 'schema', `${name}.json`)
  const { code } = await format(file, JSON.stringify(schema, null, 2), { printWidth: 140 })
  put(file, code)
}
for (const file of readdirSync(path.join(docs, 'schema'))) {
  if (catalogue.some((/** @type {any} */ { name }) => file === `${name}.json`)) continue
  stale.push(`docs/schema/${file}`)
  if (!check) rmSync(path.join(docs, 'schema', file))
}

if (check && stale.length > 0) {
  console.error(`not up to date: ${stale.join(', ')}\nwrite them again: node scripts/reference.mjs`)
  process.exitCode = 1
}
