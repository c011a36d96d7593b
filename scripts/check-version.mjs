// @ts-check
/** `src/version.ts` and package.json must name the same version. */
import { readFileSync } from 'node:fs'
import path from 'node:path'

const root = path.dirname(import.meta.dirname)
const inPackage = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).version
const inSource = /^export const version = '([^']+)'/m.exec(readFileSync(path.join(root, 'src/version.ts'), 'utf8'))?.[1]
if (inPackage !== inSource) {
  console.error(`package.json says ${inPackage}, src/version.ts says ${inSource ?? 'nothing readable'}: make them equal`)
  process.exit(1)
}
