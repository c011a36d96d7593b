import { findRepository } from '../../../src/host/git.ts'
import { forgetHeld, rememberHeld } from '../../../src/service/identity/held.ts'

// One of several that work in one worktree: waits for the common start, then notes twenty leases and forgets every second one.
const [, , directory = '', startAt = '', at = ''] = process.argv
const repository = findRepository(directory, {})
while (Date.now() < Number(startAt));
for (let each = 0; each < 20; each++) {
  const leaseId = `L${at}-${each}`
  rememberHeld(repository, [{ resource: `port:${at}-${each}`, leaseId, token: each + 1, agentId: `agent:${at}`, session: null }])
  if (each % 2 === 1) forgetHeld(repository, [leaseId])
}
