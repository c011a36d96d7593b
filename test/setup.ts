import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { inject } from 'vitest'

// A test is the same test on a bare machine, in a terminal of a coding agent and in a Git hook: it inherits no identity, no
// settings and no home. What a test needs of these it sets itself. (npm gives each script EDITOR=vi, which waits for a person where it
// is installed.)
const FOREIGN =
  /^(LEASEHOLD|CLAUDE|CODEX|QWEN|COPILOT|GEMINI|CURSOR|OPENCODE|GIT|XDG)(_|$)|^(NODE_EXTRA_CA_CERTS|CLAUDECODE|AI_AGENT|NO_COLOR|FORCE_COLOR|EDITOR|VISUAL)$/
const KEPT = /^LEASEHOLD_(REQUIRE_ALL$|TEST_)/

for (const name of Object.keys(process.env)) {
  if (FOREIGN.test(name) && !KEPT.test(name)) delete process.env[name]
}

const home = mkdtempSync(path.join(inject('runFolder'), 'home-'))
const gitConfig = path.join(home, '.gitconfig')
mkdirSync(path.join(home, '.config'))
writeFileSync(gitConfig, '[user]\n\tname = Test\n\temail = test@example.invalid\n[init]\n\tdefaultBranch = main\n')
Object.assign(process.env, { HOME: home, GIT_CONFIG_GLOBAL: gitConfig, GIT_CONFIG_NOSYSTEM: '1' })
