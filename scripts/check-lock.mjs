// @ts-check
/**
 * Checks package-lock.json: no registry addresses, and an entry for every optional package, those of other platforms too. A registry
 * mirror that lacks them leaves them out, and then `npm ci` refuses the lock everywhere. `--fix` adds what is missing, without a hash.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const file = path.join(path.dirname(import.meta.dirname), 'package-lock.json')
const lock = JSON.parse(readFileSync(file, 'utf8'))
const fix = process.argv.includes('--fix')
/** @type {string[]} */
const wrong = []

/**
 * What npm needs to know to leave a package out, read from its name: `@oxlint/binding-linux-arm64-musl`.
 * @param {string} name
 */
function platformOf(name) {
  const os = /\b(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)\b/.exec(name)?.[1]
  const cpu = /[-/](arm64|arm|ia32|loong64|mips64el|ppc64|riscv64|s390x|wasm32|x64)\b/.exec(name)?.[1]
  const libc = /\bmusl/.test(name) ? 'musl' : /\bgnu/.test(name) ? 'glibc' : undefined
  if (cpu === undefined || (os === undefined && cpu !== 'wasm32')) throw new Error(`cannot tell the platform of ${name}`)
  return { cpu: [cpu], libc: os === 'linux' && libc !== undefined ? [libc] : undefined, os: os === undefined ? undefined : [os] }
}

for (const [place, entry] of Object.entries(lock.packages)) {
  if (/^https?:/.test(entry.resolved ?? '')) wrong.push(`${place}: a registry address (see .npmrc)`)
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (lock.packages[`node_modules/${name}`] !== undefined || lock.packages[`${place}/node_modules/${name}`] !== undefined) continue
    if (fix && /^\d+\.\d+\.\d+$/.test(version)) {
      const { cpu, libc, os } = platformOf(name)
      // In npm's own order, so that npm does not write them again.
      lock.packages[`node_modules/${name}`] = { version, cpu, dev: entry.dev, libc, optional: true, os }
    } else wrong.push(`${place}: no entry for its optional ${name}@${version} (try scripts/check-lock.mjs --fix)`)
  }
}

if (fix) {
  const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'))
  lock.packages = Object.fromEntries(sorted)
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
}
for (const message of wrong) console.error(message)
process.exitCode = wrong.length === 0 ? 0 : 1
