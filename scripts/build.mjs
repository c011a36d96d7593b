// @ts-check
/**
 * Builds `dist`: the library (ESM, by tsc), the executable (minified CommonJS in lazy chunks, by esbuild) and the lock addon of each
 * supported platform. It builds beside the old `dist` and swaps at the end, so a running `lh` never meets half a build.
 *
 * Lazy chunks: esbuild cannot split CommonJS, so each `import('./x.ts')` of a bundled file becomes `require('./<chunk>.cjs')` and
 * `x.ts` one more entry, until no new one turns up. A chunk has its own copy of what it imports statically: module state and
 * `instanceof` do not cross from one chunk to another.
 */
import { spawn } from 'node:child_process'
import { chmod, cp, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { createRequire, isBuiltin } from 'node:module'
import path from 'node:path'
import * as esbuild from 'esbuild'

const root = path.dirname(import.meta.dirname)
const require = createRequire(import.meta.url)
const out = path.join(root, `dist.${process.pid}`)
/** Programs by source: the file that starts them, and the bundle that is kept with its code. */
const PROGRAMS = [
  { entry: 'src/door/cli/main.ts', executable: 'lh', main: 'main' },
  { entry: 'src/door/agent-hook/entry.ts', executable: 'hook', main: 'hook-main' },
]
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

/** @param {string} file absolute */
function chunkName(file) {
  const relative = path.relative(root, file).replaceAll(path.sep, '/')
  const program = PROGRAMS.find(({ entry }) => entry === relative)
  if (program !== undefined) return program.main
  const name = relative.startsWith('src/')
    ? relative.slice('src/'.length)
    : relative.slice(relative.lastIndexOf('node_modules/') + 'node_modules/'.length)
  return name
    .replace(/\.[cm]?[jt]s$/, '')
    .replaceAll(/[^a-zA-Z0-9]+/g, '-')
    .replace(/^-/, '')
}

/** @param {string} file absolute @param {(file: string) => string} nameOf takes a note of a lazy import and gives its chunk's name */
async function bundle(file, nameOf) {
  return esbuild.build({
    absWorkingDir: root,
    entryPoints: { [nameOf(file)]: file },
    outdir: path.join(out, 'bin'),
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    minify: true,
    // The loader reads one byte as one character.
    charset: 'ascii',
    legalComments: 'none',
    supported: { 'dynamic-import': false },
    // jsonc-parser's `main` is UMD, whose inner `require` no bundler sees.
    mainFields: ['module', 'main'],
    define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
    // An `import.meta.url` in a bundled file would be empty there: better no build than a wrong path.
    logOverride: { 'empty-import-meta': 'error' },
    logLevel: 'warning',
    metafile: true,
    plugins: [
      {
        // `import fs from 'node:fs'` would become a copy of all its properties, once for each file that imports it (1.5 ms a process).
        // As a module of the bundle it is read once, and only what is used.
        name: 'builtins',
        setup(build) {
          build.onResolve({ filter: /^node:/ }, args =>
            args.kind === 'import-statement' ? { path: args.path, namespace: 'builtin', sideEffects: false } : undefined,
          )
          build.onLoad({ filter: /./, namespace: 'builtin' }, args => ({ contents: builtinModule(args.path), loader: 'js' }))
        },
      },
      {
        name: 'lazy-chunks',
        setup(build) {
          build.onResolve({ filter: /./ }, async args => {
            if (args.kind !== 'dynamic-import' || args.pluginData === 'resolving' || isBuiltin(args.path)) return undefined
            const target = await build.resolve(args.path, {
              kind: args.kind,
              importer: args.importer,
              resolveDir: args.resolveDir,
              pluginData: 'resolving',
            })
            if (target.errors.length > 0 || target.external) return target
            return { path: `./${nameOf(target.path)}.cjs`, external: true }
          })
        },
      },
    ],
  })
}

/** A module that hands on one of Node's own; what nobody imports is left out. @param {string} name */
function builtinModule(name) {
  const exported = Object.entries(Object.getOwnPropertyDescriptors(require(name)))
    // An accessor may load more (`fs.promises` does).
    .filter(([key, { value }]) => value !== undefined && /^[a-zA-Z]\w*$/.test(key) && key !== 'default')
    .map(([key]) => `export const ${key} = /* @__PURE__ */ of('${key}')`)
  return [`const own = require('${name}')`, 'const of = key => own[key]', 'export default own', ...exported].join('\n')
}

async function buildExecutable() {
  /** @type {Map<string, string>} chunk name → source file */
  const chunks = new Map()
  /** @type {string[]} */
  const queue = []
  /** @param {string} file */
  const nameOf = file => {
    const name = chunkName(file)
    const known = chunks.get(name)
    if (known === undefined) {
      chunks.set(name, file)
      queue.push(file)
    } else if (known !== file) throw new Error(`two lazy chunks would be named ${name}: ${known} and ${file}`)
    return name
  }
  for (const { entry } of PROGRAMS) nameOf(path.join(root, entry))
  /** @type {Set<string>} */
  const packages = new Set()
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const { metafile } = await bundle(file, nameOf)
    for (const input of Object.keys(metafile.inputs)) {
      const found = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)
      if (found?.[1] !== undefined) packages.add(found[1])
    }
  }
  return packages
}

/** Makes one function expression of each chunk, the shape in which Node itself compiles a module. */
async function wrapChunks() {
  const folder = path.join(out, 'bin')
  for (const name of await readdir(folder)) {
    const file = path.join(folder, name)
    await writeFile(file, `(function(exports,require,module,__filename,__dirname){${await readFile(file, 'utf8')}\n})`)
  }
}

/**
 * `lh.cjs` runs `main.cjs`, and the chunks that it asks for, with the code that V8 made of them here; see code-cache.mjs. Compiling `main`
 * would cost each process a sixth of Node's own start-up, and as much again for what it runs. `lh hook` is another program: an agent pays
 * for it with every tool call.
 * @param {{ executable: string, main: string }} program
 */
async function writeLoader({ executable, main }) {
  const folder = path.join(out, 'bin')
  const starter = path.join(folder, `${executable}.cjs`)
  const choice =
    executable === 'lh' ? `process.argv[2] === 'hook' && !/^(-h|--help)$/.test(process.argv[3]) ? 'hook-main' : '${main}'` : `'${main}'`
  await writeFile(
    starter,
    `#!/usr/bin/env node
'use strict'
const { readFileSync } = require('node:fs')
const { Script } = require('node:vm')
const loaded = new Map()
function load(name) {
  const known = loaded.get(name)
  if (known !== undefined) return known.exports
  const program = __dirname + '/' + name
  const filename = program + '.cjs'
  let cachedData
  try {
    cachedData = readFileSync(program + '.' + process.versions.v8 + '.code')
  } catch {
    // Made by another Node, or seldom used: compiled as usual.
  }
  const script = new Script(readFileSync(filename, 'latin1'), { filename, cachedData })
  const chunk = { exports: {} }
  loaded.set(name, chunk)
  script.runInThisContext()(chunk.exports, requireFrom, chunk, filename, __dirname)
  return chunk.exports
}
const requireFrom = id => (id.startsWith('./') ? load(id.slice(2, -4)) : require(id))
load(${choice})
`,
  )
  await chmod(starter, 0o755)
  const { PATH, TMPDIR } = process.env
  const child = spawn(process.execPath, [path.join(root, 'scripts/code-cache.mjs'), folder, main], {
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
  const [packages] = await Promise.all([buildExecutable(), buildLibrary().then(bundleSuite)])
  await copyOthers(packages)
  await wrapChunks()
  for (const program of PROGRAMS) await writeLoader(program)
  await swap()
  await printSizes()
} finally {
  await rm(out, { recursive: true, force: true })
}
