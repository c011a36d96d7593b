import { describe, it, type TestFunction } from 'vitest'

/** What a test needs of the machine, and what is missing when it is not there; the reason is listed by `npm test`. */
export interface Requirement {
  it(name: string, test: TestFunction, timeoutMs?: number): void
  describe(name: string, tests: () => void): void
}

/**
 * Runs the tests if `condition` holds, else skips them with `reason`:
 *
 *     const needsRoot = requires(process.getuid?.() === 0, 'needs root, for a time namespace of its own')
 *     needsRoot.it('death is not provable across time namespaces', () => { … })
 *
 * With LEASEHOLD_REQUIRE_ALL=1 a skip fails the run; so does, always, a skip without a reason. `beyond` is for what no package brings:
 * somebody's data beside the repository, a user who is not root. Such a skip is listed and never fails.
 */
export function requires(condition: boolean, reason: string): Requirement {
  if (condition) {
    return {
      it: (name, test, timeoutMs) => it(name, test, timeoutMs),
      describe: (name, tests) => void describe(name, tests),
    }
  }
  return {
    it: name => it(name, context => context.skip(reason)),
    // The body is not run: what it needs to be written down is what is missing.
    describe: name => it(name, context => context.skip(reason)),
  }
}

/** How scripts/test.mjs tells these skips. */
const beyondMark = 'not of this machine: '

/** The same for what this machine cannot be made to have. */
export const beyond = (condition: boolean, reason: string): Requirement => requires(condition, `${beyondMark}${reason}`)
