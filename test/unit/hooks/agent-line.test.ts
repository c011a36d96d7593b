import { describe, expect, it } from 'vitest'
import { callOf, callWithin, shellLine } from '../../../src/service/hooks/agent/line.ts'

const [node, hook] = ['/opt/node 20/bin/node', "/it's/hook.cjs"]
const now = shellLine({ node, hook }, 'before-tool', 'claude')
const first =
  `if [ -x '/n' ] && [ -f '/h/hook.cjs' ]; then exec '/n' '/h/hook.cjs' before-tool --agent claude; ` +
  `elif command -v lh >/dev/null 2>&1; then exec lh hook before-tool --agent claude; else echo 'leasehold: not installed here any more; let pass' >&2; fi`

describe('a line that is ours alone', () => {
  it.each([
    now,
    first,
    'lh hook before-tool --agent claude',
    'leasehold hook before-tool --agent claude',
    '/usr/local/bin/lh hook before-tool --agent claude',
    'exec lh hook before-tool --agent claude',
    ' lh hook  before-tool --agent claude '.replace('  ', ' '),
    '/h/hook.cjs before-tool --agent claude',
    'node /h/hook.cjs before-tool --agent claude',
    "'/opt/node 20/bin/node' '/h/hook.cjs' before-tool --agent claude",
    '"/opt/node" "/a b/hook.cjs" before-tool --agent claude',
    'node /h/lh.cjs hook before-tool --agent claude',
    String.raw`"C:\Program Files\nodejs\node.exe" "C:\Users\me\hook.cjs" before-tool --agent claude`,
    String.raw`C:\node\node.exe C:\lh\hook.cjs before-tool --agent claude`,
    String.raw`& "C:\node\node.exe" "C:\lh\hook.cjs" before-tool --agent claude`,
    'LEASEHOLD_SESSION_LOCK_FAIL=closed lh hook before-tool --agent claude',
    "env LEASEHOLD_AGENT_ID='agent:a b' LEASEHOLD_TTL= node /h/hook.cjs before-tool --agent claude",
  ])('%s', line => {
    const expected = { event: 'before-tool', agent: 'claude' }
    for (const handler of [
      { type: 'command', command: line },
      { bash: line },
      { command: '/bin/sh', args: ['-c', line] },
      { bash: line, powershell: line },
    ])
      expect(callOf(handler)).toEqual(expected)
    expect(callWithin({ command: line })).toBeNull()
  })

  it('is one of words too', () => {
    expect(callOf({ command: node, args: ['/a b/hook.cjs', 'stop', '--agent', 'gemini'] })).toEqual({ event: 'stop', agent: 'gemini' })
  })
})

describe('a line of a user’s own that calls us', () => {
  it.each([
    ['lh hook before-tool --agent claude && ./mine.sh', true],
    ['FOO=1 lh hook before-tool --agent claude', true],
    ['lh hook before-tool --agent claude 2>&1', true],
    ['./mine.sh && lh hook before-tool --agent claude', true],
    ['timeout 5 node /h/hook.cjs before-tool --agent claude', true],
    ["sh -c 'lh hook before-tool --agent claude'", true],
    ['FOO=1 lh hook before-tool --agent claude | tee log', false],
    ['lh hook before-tool --agent claude; other', false],
    ['lh hook before-tool --agent claude || true', false],
    ['lh hook before-tool --agent claude\nother', false],
    [`${now} && ./mine.sh`, false],
    [`./mine.sh; ${now}`, false],
    [`${first}; ./mine.sh`, false],
    [`if true; then lh hook before-tool --agent claude; fi`, false],
  ])('%s', (line, passes) => {
    for (const handler of [{ type: 'command', command: line }, { bash: line }, { command: '/bin/sh', args: ['-c', line] }]) {
      expect(callOf(handler)).toBeNull()
      expect(callWithin(handler)).toEqual({ event: 'before-tool', agent: 'claude', line, passes })
    }
  })

  it.each(['lh hook claude PreToolUse && ./mine.sh', 'lh hook && ./mine.sh', 'lh hook auto --agent claude | tee log'])(
    'without an event is asked what the client says: %s',
    command => expect([callOf({ command }), callWithin({ command })?.event]).toEqual([null, 'auto']),
  )

  it('beside a line of ours for another shell is not ours to change', () => {
    expect(callOf({ bash: now, powershell: './mine.ps1' })).toBeNull()
    expect(callWithin({ bash: now, powershell: './mine.ps1' })).toMatchObject({ event: 'before-tool' })
  })
})

describe('a line of somebody else', () => {
  it.each([
    'echo "lh hook before-tool --agent claude"',
    "echo 'run lh hook before-tool --agent claude' >&2",
    'cat /h/hook.cjs',
    'lh status',
    '/h/webhook.cjs before-tool --agent claude',
    '# lh hook before-tool --agent claude',
    `echo ${'x'.repeat(100_000)}`,
    '',
  ])('%s', command => expect([callOf({ command }), callWithin({ command })]).toEqual([null, null]))
})
