import type { Judge, Profile, Verdict } from '../evidence.ts'

const waiting: Verdict = { state: 'waiting', step: null }

/** An agent that nobody knows: it says itself, as `--ready` asks, that it works. */
export const command: Profile = {
  name: 'command',
  prepare({ command, ready }) {
    const judge: Judge = {
      stdout: line =>
        ready?.kind === 'output' && ready.regex.test(line)
          ? { state: 'accepted', evidence: { kind: 'output', seen: `a line that matches ${ready.regex.source}`, confirmed: true } }
          : waiting,
      hook: ({ event }) =>
        ready?.kind === 'hook' && event === 'pre-tool-use'
          ? { state: 'accepted', evidence: { kind: 'hook', seen: 'its hook before a tool', confirmed: true } }
          : waiting,
      clientSessionId: null,
    }
    return { command, stdio: ready?.kind === 'output' ? 'stdout' : 'inherit', hooks: 'no', judge, clientSessionId: null, warnings: [] }
  },
  resumable: () => null,
}
