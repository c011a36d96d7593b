// @ts-check
/**
 * The rule of arrows (ARCHITECTURE.md) as two lint rules:
 *
 * - `leasehold/arrows`: which folder of `src` may import which. Paths are resolved, so `./../store`, re-exports, `import()`,
 *   `require()` and `import('…').T` count as well.
 * - `leasehold/no-promise`: no `async`, `await` or `new Promise` where it is switched on (`core/`).
 *
 * `ARROWS` below is the whole table. What is not listed is refused.
 */
import path from 'node:path'

/** Targets end in `/` for a folder, else name one file; `types` are allowed only as `import type`. The first matching entry decides. */
const ARROWS = {
  'src/core/': { any: ['src/core/'], types: [], packages: false },
  'src/store/': { any: ['src/core/', 'src/host/'], types: [], packages: true },
  'src/coordinator.ts': { any: ['src/core/'], types: ['src/store/store.ts'], packages: true },
  'src/service/': {
    any: ['src/core/', 'src/coordinator.ts', 'src/host/', 'src/service/', 'src/version.ts'],
    types: ['src/store/store.ts', 'src/store/maintenance.ts', 'src/store/move.ts'],
    packages: true,
  },
  'src/host/': { any: ['src/host/', 'src/core/fault.ts', 'src/core/shell-word.ts'], types: ['src/core/'], packages: true },
  'src/door/': {
    any: ['src/service/', 'src/core/fault.ts', 'src/core/shell-word.ts', 'src/store/open.ts', 'src/coordinator.ts', 'src/version.ts'],
    types: ['src/core/', 'src/store/store.ts', 'src/store/maintenance.ts', 'src/store/move.ts'],
    packages: true,
  },
  'src/index.ts': {
    any: ['src/core/', 'src/store/', 'src/coordinator.ts', 'src/service/', 'src/host/', 'src/version.ts'],
    types: [],
    packages: true,
  },
  'src/session-lock.ts': { any: ['src/service/session-lock/'], types: [], packages: false },
  'src/testing.ts': { any: [], types: ['src/core/', 'src/store/store.ts'], packages: false },
  'src/version.ts': { any: [], types: [], packages: false },
}

/** @param {string} file @param {string} place */
const inside = (file, place) => (place.endsWith('/') ? file.startsWith(place) : file === place)

/**
 * `src/store/file/log.ts` belongs to the store `file`, `src/door/cli/main.ts` to the door `cli`; a file directly in the folder belongs to no part.
 * @param {string} file
 */
function partOf(file) {
  const steps = file.split('/')
  return steps.length > 3 ? steps[2] : undefined
}

/**
 * Arrows inside `store/` and `door/`: own part and the shared files yes, another part no. `store/open.ts` may open any store;
 * another door may be entered by its `main.ts` only.
 * @param {string} from @param {string} to
 */
function sibling(from, to) {
  const other = partOf(to)
  if (from.startsWith('src/door/')) return other === undefined || other === partOf(from) || path.posix.basename(to) === 'main.ts'
  if (from === 'src/store/open.ts') return true
  if (to === 'src/store/open.ts' || to === 'src/store/memory.ts') return false
  return other === undefined || other === partOf(from)
}

/**
 * @param {string} from path from the project root, with `/`
 * @param {string} specifier as written
 * @param {boolean} typeOnly
 * @returns {string | undefined} why the import is refused
 */
export function refused(from, specifier, typeOnly) {
  const room = Object.entries(ARROWS).find(([place]) => inside(from, place))
  if (room === undefined) return from.startsWith('src/') ? `${from} has no place in the rule of arrows` : undefined
  const [place, may] = room
  if (!specifier.startsWith('.') && !specifier.startsWith('/')) {
    return may.packages ? undefined : `${place} is pure and may not import '${specifier}'`
  }
  const to = path.posix.join(path.posix.dirname(from), specifier)
  if ((place === 'src/store/' || place === 'src/door/') && to.startsWith(place)) {
    return sibling(from, to) ? undefined : `${from} may not import another ${place.slice(4, -1)}'s insides (${to})`
  }
  if (may.any.some(target => inside(to, target))) return undefined
  if (may.types.some(target => inside(to, target))) return typeOnly ? undefined : `${place} may import only types from ${to}`
  return `${place} may not import ${to}`
}

/** @param {any} context */
function fileOf(context) {
  return path.relative(context.cwd, context.physicalFilename ?? context.filename).replaceAll(path.sep, '/')
}

const arrows = {
  meta: { type: 'problem', docs: { description: 'which folder of src may import which' } },
  /** @param {any} context */
  create(context) {
    const from = fileOf(context)
    if (!from.startsWith('src/')) return {}
    /** @param {any} node @param {any} source @param {boolean} typeOnly */
    const check = (node, source, typeOnly) => {
      if (typeof source?.value !== 'string') return
      const message = refused(from, source.value, typeOnly)
      if (message !== undefined) context.report({ node, message })
    }
    return {
      /** @param {any} node */
      ImportDeclaration: node => check(node, node.source, node.importKind === 'type'),
      /** @param {any} node */
      ExportNamedDeclaration: node => check(node, node.source, node.exportKind === 'type'),
      /** @param {any} node */
      ExportAllDeclaration: node => check(node, node.source, node.exportKind === 'type'),
      /** @param {any} node */
      ImportExpression: node => check(node, node.source, false),
      /** @param {any} node */
      TSImportType: node => check(node, node.source ?? node.argument?.literal ?? node.argument, true),
      /** @param {any} node */
      CallExpression: node => {
        if (node.callee?.type === 'Identifier' && node.callee.name === 'require') check(node, node.arguments[0], false)
      },
    }
  },
}

const noPromise = {
  meta: { type: 'problem', docs: { description: 'no promise in pure code' } },
  /** @param {any} context */
  create(context) {
    /** @param {any} node */
    const report = node => context.report({ node, message: 'core is pure: no async, await or Promise' })
    /** @param {any} node */
    const asyncFunction = node => {
      if (node.async === true) report(node)
    }
    return {
      AwaitExpression: report,
      FunctionDeclaration: asyncFunction,
      FunctionExpression: asyncFunction,
      ArrowFunctionExpression: asyncFunction,
      /** @param {any} node */
      Identifier: node => {
        if (node.name === 'Promise' || node.name === 'PromiseLike') report(node)
      },
    }
  },
}

export default { meta: { name: 'leasehold' }, rules: { arrows, 'no-promise': noPromise } }
