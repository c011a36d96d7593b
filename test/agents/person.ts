import type { Terminal } from '../support/terminal.ts'

// A person in front of the real agents.

/** Claude Code as a person meets it for the second time: nothing to choose, the folder trusted, the key known. */
export const usedBefore = (dir: string, key: string): string =>
  JSON.stringify({
    hasCompletedOnboarding: true,
    theme: 'dark',
    projects: { [dir]: { hasTrustDialogAccepted: true, hasCompletedProjectOnboarding: true, projectOnboardingSeenCount: 5 } },
    customApiKeyResponses: { approved: [key], rejected: [] },
  })

/** Types a line as a person does: what comes with its end at once is taken for a paste. */
export function enter(terminal: Terminal, text: string): void {
  terminal.type(text)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
  terminal.press('Enter')
}
