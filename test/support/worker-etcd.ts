import { writeFileSync } from 'node:fs'
import { contend } from './etcd-clients.ts'
import type { Contest } from './etcd-clients.ts'

// Clients in a process of their own, on whatever machine it is started: they work until standard input ends, then write what happened.

const { answers, ...contest } = JSON.parse(process.argv[2]!) as Contest & { readonly answers: string }
let over = false
process.stdin.once('end', () => (over = true)).resume()
const found = await contend(contest, () => over)
// An answer that never came has no time, which JSON cannot say.
writeFileSync(
  answers,
  JSON.stringify(found, (key, value: unknown) => (key === 'ret' && value === Number.POSITIVE_INFINITY ? null : value)),
)
