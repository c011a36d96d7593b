// @ts-check
/**
 * Builds `dist`: the library (ESM, by tsc), the executable (minified CommonJS in lazy chunks, by rolldown and esbuild) and the lock addon of
 * each supported platform. It builds beside the old `dist` and swaps at the end, so a running `lh` never meets half a build.
 *
 * A program is one file, `main`, with all that it imports statically, and a chunk for each `import('./x.ts')`. No module is in two files of a
 * program: chunks take from `main` what it has, and from a few shared chunks what several of them need (chunks.mjs). The agent's hook is a
 * program of its own.
 */
import { spawn } from 'node:child_process'
import { chmod, cp, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import * as esbuild from 'esbuild'
import { rolldown } from 'rolldown'
import { closure, sharedChunks } from './chunks.mjs'
import { inFileName, PURPOSES } from './purposes.mjs'

const root = path.dirname(import.meta.dirname)
const require = createRequire(import.meta.url)
const out = path.join(root, `dist.${process.pid}`)
/** Programs by the file that starts them; each is kept with its code. */
const PROGRAMS = [
  { entry: 'src/door/cli/main.ts', main: 'main' },
  { entry: 'src/door/cli/launch-main.ts', main: 'launch-main' },
  { entry: 'src/door/agent-hook/entry.ts', main: 'hook-main' },
]
/** What is typed or installed, and how it starts a program. */
const EXECUTABLES = {
  lh: `const words = process.argv.slice(2)
if (words.includes('--')) words.length = words.indexOf('--')
const own = ${JSON.stringify(Object.fromEntries(PURPOSES.map(purpose => [purpose, `.${inFileName(purpose)}`])))}
const help = words.includes('--help') || words.includes('-h')
if ((words[0] === 'hook' || words[0] === 'launch') && !help) load(words[0] + '-main', '')
else load('main', own[words[0] + ' ' + words[1]] ?? '')`,
  hook: `load('hook-main', '')`,
}
const PLATFORMS = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64']

async function buildLibrary() {
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
  const child = spawn(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', path.join(out, 'lib')], {
    cwd: root,
    stdio: 'inherit',
  })
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`tsc ended with code ${code}`)
  // tsc rewrites `./x.ts` to `./x.js` in the code but not in the declarations, where not every consumer understands it.
  for (const name of await readdir(path.join(out, 'lib'), { recursive: true })) {
    if (!name.endsWith('.d.ts')) continue
    const file = path.join(out, 'lib', name)
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replaceAll(/((?:\bfrom|\bimport\(|\bimport)\s*)(['"])(\.{1,2}\/[^'"]+)\.ts\2/g, '$1$2$3.js$2'))
  }
}

/** The conformance suite for those who write a store of their own: `leasehold/testing`, with its helpers in one file. */
async function bundleSuite() {
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: { testing: 'test/conformance/suite.ts' },
    outdir: path.join(out, 'lib'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: ['vitest', 'fast-check'],
    legalComments: 'none',
    logLevel: 'warning',
  })
}

/** Chunks of `lh` are named by their source alone, those of another program by its name as well. @param {string} file absolute @param {string} main */
function chunkName(file, main) {
  const relative = path.relative(root, file).replaceAll(path.sep, '/')
  const name = relative.startsWith('src/')
    ? relative.slice('src/'.length)
    : relative.slice(relative.lastIndexOf('node_modules/') + 'node_modules/'.length)
  const plain = name.replace(/\.[cm]?[jt]s$/, '').replaceAll(/[^a-zA-Z0-9]+/g, '-')
  return main === 'main' ? plain : `${main}-${plain}`
}

/**
 * What rolldown knows of a module, as chunks.mjs asks for it.
 * @param {import('rolldown').ChunkingContext} context @returns {(id: string) => import('./chunks.mjs').Module}
 */
const modulesOf = context => id => {
  const found = context.getModuleInfo(id)
  if (found === null) throw new Error(`rolldown does not know ${id}`)
  const { importedIds, dynamicallyImportedIds, code } = found
  return { imports: importedIds.filter(isBundled), lazy: dynamicallyImportedIds.filter(isBundled), bytes: code?.length ?? 0 }
}

const isBundled = (/** @type {string} */ id) => path.isAbsolute(id)

/** One program: its `main`, which every process of it loads, and its chunks. @param {{ entry: string, main: string }} program */
async function bundle({ entry, main }) {
  /** @type {Map<string, string> | undefined} module → its chunk, for those of `main` and those that are shared */
  let placed
  /** @param {import('rolldown').ChunkingContext} context */
  const place = context => {
    const look = modulesOf(context)
    const own = closure(path.join(root, entry), look)
    const all = new Map([...own].map(id => [id, main]))
    for (const modules of sharedChunks(own, look)) for (const id of modules) all.set(id, `shared-${chunkName(modules[0] ?? id, main)}`)
    return all
  }
  const built = await rolldown({
    cwd: root,
    input: { [main]: entry },
    platform: 'node',
    preserveEntrySignatures: 'allow-extension',
    // jsonc-parser's `main` is UMD, whose inner `require` no bundler sees.
    resolve: { mainFields: ['module', 'main'] },
    transform: { target: 'node20', define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' } },
    plugins: [
      { name: 'start-up', renderChunk: (code, { isEntry }) => (isEntry ? lateExports(withoutHelpers(code)) : withoutHelpers(code)) },
    ],
    // A busy machine is no fault of the code.
    checks: { bundlerTimings: false },
    onLog(level, log, handle) {
      // A lazy import may be of a module that comes anyhow, with the chunk that it is in.
      if (log.code === 'INEFFECTIVE_DYNAMIC_IMPORT') return
      handle(level === 'warn' ? 'error' : level, log)
    },
  })
  const { output } = await built.write({
    dir: path.join(out, 'bin'),
    format: 'cjs',
    minify: 'dce-only',
    minifyInternalExports: true,
    comments: false,
    strict: true,
    esModule: false,
    externalLiveBindings: false,
    dynamicImportInCjs: false,
    entryFileNames: ({ facadeModuleId, name }) => `${name === main ? main : chunkName(facadeModuleId ?? '', main)}.cjs`,
    chunkFileNames: ({ facadeModuleId, name }) =>
      `${facadeModuleId ? chunkName(facadeModuleId, main) : name === 'rolldown-runtime' ? `${main}-runtime` : name}.cjs`,
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [{ debugName: 'placed', name: (id, context) => (placed ??= place(context)).get(id) ?? null }],
    },
  })
  await built.close()
  return output.flatMap(chunk => (chunk.type === 'chunk' ? chunk.moduleIds : []))
}

/**
 * A module of Node's own is used as it is: rolldown would make a copy of all its properties for the sake of its default export (1.5 ms a
 * process), though that is the module itself. And what a lazy import of one module of a chunk gets is a plain object. So the everyday chunks
 * need no file of helpers.
 * @param {string} code
 */
function withoutHelpers(code) {
  /** @type {string[]} */
  const names = []
  let plain = code
    .replaceAll(/^(let ([\w$]+) = require\("node:[^"]+"\);\n)(?:\2 = [\w$.]+\(\2, 1\);\n)?/gm, (_, kept, name) => (names.push(name), kept))
    .replaceAll(/(?:\/\* @__PURE__ \*\/ )?[\w$.]+\((require\("node:[^"]+"\)), 1\)/g, '$1')
    .replaceAll(
      /= \/\* @__PURE__ \*\/ [\w$.]+\(\{((?:\s*[\w$]+: \(\) => [\w$]+,?)+\s*)\}\)/g,
      (_, all) => `= {${all.replaceAll(/([\w$]+): \(\) => ([\w$]+)/g, 'get $1() { return $2 }')}}`,
    )
  for (const name of names) {
    const local = name.replaceAll('$', String.raw`\$`)
    plain = plain
      .replaceAll(new RegExp(String.raw`(?<![\w$.])${local}\.default\b`, 'g'), name)
      .replaceAll(new RegExp(String.raw`\(0, (${local}\.\w+)\)\(`, 'g'), '$1(')
  }
  const runtime = /^const ([\w$]+) = require\("\.\/[\w-]+-runtime\.cjs"\);\n/m.exec(plain)
  return runtime?.[1] !== undefined && plain.split(runtime[1]).length === 2 ? plain.replace(runtime[0], '') : plain
}

/**
 * What `main` hands to its chunks, several hundred names, becomes an object when the first of them asks: most processes load none.
 * @param {string} code
 */
function lateExports(code) {
  /** @type {string[]} */
  const names = []
  const rest = code
    .replace(/^Object\.defineProperty\(exports, Symbol\.toStringTag, .*\n/m, '')
    .replaceAll(/^exports\.([\w$]+) = ([\w$]+);\n?/gm, (_, name, local) => (names.push(`${name}: ${local}`), ''))
  if (/^(?:exports\.|Object\.defineProperty\(exports)/m.test(rest))
    throw new Error(
      `an export of main is not a plain one: see lateExports; ${/^(?:exports\.|Object\.defineProperty\(exports)[^]{200}/m.exec(rest)?.[0]}`,
    )
  return `${rest}\nObject.defineProperty(module, "exports", { configurable: true, get() {
    const value = { ${names.join(', ')} };
    Object.defineProperty(module, "exports", { value });
    return value;
  } });\n`
}

async function buildExecutable() {
  /** @type {Set<string>} */
  const packages = new Set()
  for (const program of PROGRAMS)
    for (const id of await bundle(program)) {
      const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path.relative(root, id))
      if (found?.[1] !== undefined) packages.add(found[1])
    }
  return packages
}

/** Makes one function expression of each chunk, the shape in which Node itself compiles a module. */
async function minifyChunks() {
  const folder = path.join(out, 'bin')
  const done = (await readdir(folder)).map(async name => {
    const file = path.join(folder, name)
    const { code } = await esbuild.transform(await readFile(file, 'utf8'), {
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      minify: true,
      // The loader reads one byte as one character.
      charset: 'ascii',
      legalComments: 'none',
      sourcefile: name,
      logLevel: 'warning',
    })
    await writeFile(file, `(function(exports,require,module,__filename,__dirname){${code}\n})`)
  })
  await Promise.all(done)
}

/**
 * Runs a program, and the chunks that it asks for, with the code that V8 made of them here; see code-cache.mjs. Compiling `main` would cost
 * each process a sixth of Node's own start-up, and as much again for what it runs. `lh hook` is another program: an agent pays for it with
 * every tool call. So is `lh launch`, which needs half of everything, in one file and not in seven, and has an agent wait for it.
 * @param {string} executable @param {string} start
 */
async function writeLoader(executable, start) {
  const starter = path.join(out, 'bin', `${executable}.cjs`)
  await writeFile(
    starter,
    `#!/usr/bin/env node
'use strict'
const { closeSync, fstatSync, openSync, readSync } = require('node:fs')
const { Script } = require('node:vm')
const { v8 } = process.versions
const loaded = new Map()
function read(file) {
  const fd = openSync(file)
  const bytes = Buffer.allocUnsafeSlow(fstatSync(fd).size)
  let done = 0
  while (done < bytes.length) {
    const more = readSync(fd, bytes, done, bytes.length - done, null)
    if (more === 0) throw new Error(file + ' is cut short')
    done += more
  }
  closeSync(fd)
  return bytes
}
function load(name, purpose) {
  const known = loaded.get(name)
  if (known !== undefined) return known
  const program = __dirname + '/' + name
  const filename = program + '.cjs'
  let cachedData
  try {
    cachedData = read(program + purpose + '.' + v8 + '.code')
  } catch {
    // Made by another Node, or seldom used: compiled as usual.
  }
  const script = new Script(read(filename).latin1Slice(), { filename, cachedData })
  const chunk = { exports: {} }
  loaded.set(name, chunk)
  script.runInThisContext()(chunk.exports, requireFrom, chunk, filename, __dirname)
  return chunk
}
// What main exports is made when it is asked for.
const requireFrom = id => (id.startsWith('./') ? load(id.slice(2, -4), '').exports : require(id))
${start}
`,
  )
  await chmod(starter, 0o755)
}

/** Lets a program keep its code. @param {{ main: string }} program */
async function keepCode({ main }) {
  const { PATH, TMPDIR } = process.env
  const child = spawn(process.execPath, [path.join(root, 'scripts/code-cache.mjs'), path.join(out, 'bin'), main], {
    env: { ...(PATH === undefined ? {} : { PATH }), ...(TMPDIR === undefined ? {} : { TMPDIR }), HOME: out },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`code-cache.mjs ended with code ${code}`)
}

/** Copies the addon for each platform, and the licences of everything that is bundled. @param {Set<string>} packages */
async function copyOthers(packages) {
  const addon = path.dirname(require.resolve('fs-native-extensions/package.json'))
  for (const platform of PLATFORMS) {
    const from = path.join(addon, 'prebuilds', platform, 'fs-native-extensions.node')
    await mkdir(path.join(out, 'prebuilds', platform), { recursive: true })
    await cp(from, path.join(out, 'prebuilds', platform, 'fs-native-extensions.node'))
  }
  const notices = []
  for (const folder of [...packages, path.relative(root, addon)].toSorted()) {
    const { name, version, license } = JSON.parse(await readFile(path.join(root, folder, 'package.json'), 'utf8'))
    const file = (await readdir(path.join(root, folder))).find(entry => /^licen[cs]e/i.test(entry))
    const text = file === undefined ? `License: ${license}` : await readFile(path.join(root, folder, file), 'utf8')
    notices.push(`${name} ${version}\n\n${text.trim()}\n`)
  }
  await writeFile(path.join(out, 'THIRD-PARTY-LICENSES.txt'), notices.join(`\n${'-'.repeat(78)}\n\n`))
}

async function swap() {
  const dist = path.join(root, 'dist')
  const old = `${dist}.old-${process.pid}`
  await rename(dist, old).catch(error => {
    if (error.code !== 'ENOENT') throw error
  })
  await rename(out, dist)
  await rm(old, { recursive: true, force: true })
}

async function printSizes() {
  const folder = path.join(root, 'dist/bin')
  const rows = []
  for (const name of await readdir(folder)) rows.push({ name, bytes: (await readFile(path.join(folder, name))).length })
  rows.sort((a, b) => b.bytes - a.bytes)
  for (const { name, bytes } of rows) console.log(`${(bytes / 1024).toFixed(1).padStart(8)} KiB  dist/bin/${name}`)
}

try {
  // One that fails leaves the other at work, in the folder that is removed below.
  const [executable, library] = await Promise.allSettled([buildExecutable(), buildLibrary().then(bundleSuite)])
  if (executable.status === 'rejected') throw executable.reason
  if (library.status === 'rejected') throw library.reason
  await copyOthers(executable.value)
  await minifyChunks()
  for (const program of PROGRAMS) await keepCode(program)
  for (const [name, start] of Object.entries(EXECUTABLES)) await writeLoader(name, start)
  await swap()
  await printSizes()
} finally {
  await rm(out, { recursive: true, force: true })
}
