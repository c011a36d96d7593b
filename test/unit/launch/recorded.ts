import fs from 'node:fs'
import path from 'node:path'
import { hookReportOf } from '../../../src/service/launch/hook-report.ts'
import type { HookReport, LaunchRequest, Verdict } from '../../../src/service/launch/evidence.ts'

// What the real clients said, each with a good key, with a wrong one, with an API that hangs and with one that dies in mid-answer:
// test/agents/launch-evidence.test.ts says how. Paths and ports are made neutral.

const directory = path.join(import.meta.dirname, 'recorded')

/** Lines of standard output of one run. */
export const recorded = (name: string): readonly string[] =>
  fs
    .readFileSync(path.join(directory, `${name}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n')

/** What the hooks of one run were sent, as the judge gets it. */
export const reported = (name: string): readonly HookReport[] =>
  recorded(`${name}.hooks`).map(line => hookReportOf(JSON.parse(line), name.split('-')[0]!, 77, {})!)

/** The first verdict that is not a waiting one, and how many things it took; else the last rung. */
export function outcome<T>(things: readonly T[], ask: (thing: T) => Verdict): { readonly after: number; readonly verdict: Verdict } {
  let verdict: Verdict = { state: 'waiting', step: null }
  for (const [index, thing] of things.entries()) {
    verdict = ask(thing)
    if (verdict.state !== 'waiting') return { after: index + 1, verdict }
  }
  return { after: things.length, verdict }
}

/** A launch where nothing is special. */
export const request = (command: string | readonly string[], more: Partial<LaunchRequest> = {}): LaunchRequest => ({
  command: typeof command === 'string' ? command.split(' ') : command,
  env: { HOME: '/nowhere' },
  cwd: '/nowhere',
  interactive: false,
  ready: null,
  hooksInstalled: true,
  program: { node: '/opt/node', hook: '/opt/hook.cjs' },
  ...more,
})

/** How each client is launched so that it is judged by its stream. */
export const streaming = {
  claude: 'claude -p PROMPT-OF-THE-USER --output-format stream-json --verbose',
  codex: 'codex exec --json PROMPT-OF-THE-USER',
  gemini: 'gemini -o stream-json -p PROMPT-OF-THE-USER',
  qwen: 'qwen -o stream-json -p PROMPT-OF-THE-USER',
} as const
