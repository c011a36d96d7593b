import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { expect, it } from 'vitest'

it('docs/reference.md, docs/config.md and docs/schema are what the code says', () => {
  const script = path.join(import.meta.dirname, '../../scripts/reference.mjs')
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
})
