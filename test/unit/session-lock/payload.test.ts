import { describe, expect, it } from 'vitest'
import { normalise } from '../../../src/service/session-lock/payload.ts'
import { intentOf, statedTimeoutMs } from '../../../src/service/session-lock/tools.ts'

// Payloads as the real clients sent them, with paths and ids shortened.

const claude = {
  session_id: 'e2e0d1f5',
  transcript_path: '/h/.claude/projects/w/e2e0d1f5.jsonl',
  cwd: '/w',
  prompt_id: 'c79fc4c7',
  permission_mode: 'acceptEdits',
  effort: { level: 'medium' },
  hook_event_name: 'PreToolUse',
  tool_name: 'Write',
  tool_input: { file_path: '/w/a.txt', content: 'hello\n' },
  tool_use_id: 'toolu_1',
}
const codex = {
  session_id: '019a',
  turn_id: '1',
  transcript_path: '/h/r.jsonl',
  cwd: '/w',
  hook_event_name: 'PreToolUse',
  model: 'fake',
  permission_mode: 'default',
  tool_name: 'Bash',
  tool_input: { command: 'echo hi > a.txt' },
  tool_use_id: 'call_1',
}
const gemini = {
  session_id: 'g-1',
  transcript_path: '/h/t',
  cwd: '/w',
  hook_event_name: 'BeforeTool',
  timestamp: '2026-11-21T10:00:00Z',
  tool_name: 'write_file',
  tool_input: { file_path: '/w/a.txt', content: 'x' },
}
const qwen = { ...gemini, session_id: 'q-1', hook_event_name: 'PreToolUse', tool_use_id: 'call_9', permission_mode: 'yolo' }
const copilot = {
  sessionId: 'c-1',
  timestamp: 1_800_000_000_000,
  cwd: '/w',
  toolName: 'create',
  toolArgs: { path: '/w/a.txt', file_text: 'x' },
}
const copilotPascal = {
  session_id: 'c-1',
  timestamp: '2026-11-21T10:00:00Z',
  cwd: '/w',
  hook_event_name: 'PreToolUse',
  tool_name: 'Write',
  tool_input: { path: '/w/a.txt', file_text: 'x' },
}
const cursor = {
  conversation_id: 'v-1',
  generation_id: 'g',
  session_id: 'other',
  hook_event_name: 'preToolUse',
  cursor_version: '3.0',
  workspace_roots: ['/w'],
  transcript_path: null,
  tool_name: 'Shell',
  tool_input: { command: 'make', working_directory: '/w/sub' },
  tool_use_id: 't',
}

const seen = (payload: unknown, event: Parameters<typeof normalise>[1] = null, hint: Parameters<typeof normalise>[2] = null, env = {}) =>
  normalise(payload, event, hint, env, '/fallback')

describe('clients', () => {
  it.each([
    ['claude', claude, { client: 'claude', event: 'before-tool', sessionId: 'e2e0d1f5', cwd: '/w', tool: 'Write', toolUseId: 'toolu_1' }],
    ['codex', codex, { client: 'codex', event: 'before-tool', sessionId: '019a', tool: 'Bash', toolUseId: 'call_1' }],
    ['gemini', gemini, { client: 'gemini', event: 'before-tool', sessionId: 'g-1', tool: 'write_file', toolUseId: null }],
    ['qwen', qwen, { client: 'qwen', event: 'before-tool', sessionId: 'q-1', tool: 'write_file' }],
    ['copilot in Claude’s language', copilotPascal, { client: 'copilot', event: 'before-tool', sessionId: 'c-1', tool: 'Write' }],
    ['cursor', cursor, { client: 'cursor', event: 'before-tool', sessionId: 'v-1', cwd: '/w', tool: 'Shell' }],
  ])('%s', (_name, payload, expected) => expect(seen(payload)).toMatchObject(expected))

  it('copilot’s own form needs the event from the command line', () => {
    expect(seen(copilot)).toBe('neither the command line nor the payload names an event')
    expect(seen(copilot, 'before-tool')).toMatchObject({ client: 'copilot', sessionId: 'c-1', tool: 'create', input: { path: '/w/a.txt' } })
    expect(seen({ ...copilot, toolArgs: '{"path":"/w/b"}' }, 'before-tool')).toMatchObject({ input: { path: '/w/b' } })
  })

  it('are recognised by what they send, not by which file installed the hook', () => {
    expect(seen(cursor, 'before-tool', 'claude')).toMatchObject({ client: 'cursor' })
    expect(seen(copilotPascal, 'before-tool', 'claude')).toMatchObject({ client: 'copilot' })
    expect(seen(qwen, 'before-tool', 'qwen')).toMatchObject({ client: 'qwen' })
    expect(seen({ ...claude, timestamp: 1 }, null, null, { CLAUDE_CODE_SESSION_ID: 'e2e0d1f5', CLAUDE_PID: '1' })).toMatchObject({
      client: 'claude',
    })
    expect(
      seen({ session_id: 'o', cwd: '/w', tool_name: 'write', tool_input: { filePath: '/w/a' } }, 'before-tool', 'opencode'),
    ).toMatchObject({ client: 'opencode' })
  })

  it.each([
    ['PostToolUse', 'after-tool'],
    ['PostToolUseFailure', 'after-tool'],
    ['AfterTool', 'after-tool'],
    ['afterFileEdit', 'after-tool'],
    ['PostToolBatch', 'refresh'],
    ['UserPromptSubmit', 'refresh'],
    ['SubagentStop', 'refresh'],
    ['Stop', 'stop'],
    ['AfterAgent', 'stop'],
    ['agentStop', 'stop'],
    ['SessionStart', 'session-start'],
    ['sessionEnd', 'session-end'],
    ['beforeShellExecution', 'before-tool'],
    ['SomethingNew', 'refresh'],
  ])('%s is %s', (name, event) => expect(seen({ ...claude, hook_event_name: name })).toMatchObject({ event }))

  it('Cursor’s older events say beside the rest what they are about', () => {
    expect(
      seen({
        ...cursor,
        hook_event_name: 'beforeShellExecution',
        tool_name: undefined,
        tool_input: undefined,
        command: 'rm x',
        cwd: '/w/s',
      }),
    ).toMatchObject({
      tool: 'Shell',
      input: { command: 'rm x' },
      cwd: '/w/s',
    })
    expect(
      seen({ ...cursor, hook_event_name: 'beforeMCPExecution', tool_name: 'write_file', tool_input: '{"path":"/w/x"}' }),
    ).toMatchObject({
      mcp: true,
      input: { path: '/w/x' },
    })
  })

  it('count background work that goes on, and wake-ups', () => {
    expect(
      seen({ ...claude, background_tasks: [{ status: 'running' }, { status: 'completed' }, {}], session_crons: [{ id: 1 }] }),
    ).toMatchObject({ background: 3 })
    expect(seen({ ...claude, background_tasks: [], session_crons: [] })).toMatchObject({ background: 0 })
  })

  it.each([null, 1, 'x', [], {}, { session_id: 5 }, { session_id: '' }, { session_id: 'a\u0000b' }, { session_id: 'x'.repeat(257) }])(
    'refuse %j',
    payload => expect(typeof seen(payload, 'before-tool')).toBe('string'),
  )

  it('refuse a tool call without the name of a tool, and nothing else for that', () => {
    for (const tool of [undefined, null, 5, '', {}]) {
      expect(seen({ ...claude, tool_name: tool })).toBe('the payload names no tool')
      expect(seen({ ...claude, tool_name: tool }, 'before-tool')).toBe('the payload names no tool')
      expect(seen({ ...claude, tool_name: tool, hook_event_name: 'Stop' })).toMatchObject({ event: 'stop', tool: null })
      expect(seen({ ...claude, tool_name: tool }, 'after-tool')).toMatchObject({ event: 'after-tool', tool: null })
    }
  })

  it('fall back to where the hook runs when there is no usable directory', () => {
    for (const cwd of [undefined, 5, '', 'relative', '/a\u0000b']) expect(seen({ ...claude, cwd })).toMatchObject({ cwd: '/fallback' })
  })
})

describe('tools', () => {
  const intent = (tool: string | null, input: Record<string, unknown> = {}, mcp = false) => intentOf({ tool, input, mcp })
  const writes = (...paths: string[]) => ({ writes: true, paths })

  it.each([
    ['Write', { file_path: '/w/a' }, writes('/w/a')],
    ['Edit', { file_path: 'a' }, writes('a')],
    ['NotebookEdit', { notebook_path: '/n' }, writes('/n')],
    ['replace', { file_path: '/w/a' }, writes('/w/a')],
    ['create', { path: '/w/a', file_text: '' }, writes('/w/a')],
    ['write', { filePath: '/w/a' }, writes('/w/a')],
    ['Delete', { path: '/w/a' }, writes('/w/a')],
    [
      'apply_patch',
      { command: '*** Begin Patch\n*** Update File: a b.ts\n*** Move to: c.ts\n*** Delete File: d\n*** End Patch' },
      writes('a b.ts', 'c.ts', 'd'),
    ],
    ['apply_patch', { patchText: '--- a/x\n+++ b/x\t2020\n+++ /dev/null\n' }, writes('x')],
    [
      'apply_patch',
      { command: ' *** Begin Patch\n\t*** Delete File: ../b/d \r\n  *** Update File: a\n *** Move to: an old line\n*** Add File: n\n+x\n' },
      writes('../b/d', 'a', 'n'),
    ],
    ['Write', {}, writes()],
    ['Bash', { command: 'cd /x && make' }, { ...writes(), command: 'cd /x && make' }],
    ['run_shell_command', { command: 'make', directory: 'sub' }, writes('sub')],
    ['shell', { command: ['bash', '-lc', 'make'] }, writes()],
    ['Bash', {}, writes()],
    ['PowerShell', { command: 'ls' }, writes()],
    ['Monitor', { command: 'tail -f x > y' }, { ...writes(), command: 'tail -f x > y' }],
    ['Bash', { command: 'cp a ../b/c', workdir: '/w' }, { ...writes('/w'), command: 'cp a ../b/c' }],
    ['mcp__fs__write_file', { path: '/w/a' }, writes('/w/a')],
    ['mcp__fs__move_file', { source: '/w/a', destination: '/w/b' }, writes('/w/b', '/w/a')],
    ['mcp__git__git_commit', { repo_path: '/w' }, writes()],
    ['mcp__x__execute_command', { command: 'make' }, { ...writes(), command: 'make' }],
    ['mcp__serena__replace_symbol_body', { name_path: 'A/b', relative_path: 'src/a.ts', body: 'y' }, writes('A/b', 'src/a.ts')],
    ['mcp__serena__create_text_file', { relative_path: 'a', content: '/etc' }, writes('a')],
    ['mcp__jetbrains__replace_file_text_by_path', { pathInProject: 'a', text: 'y' }, writes('a')],
    ['mcp__x__write_file', { fileName: 'a', file_text: 'x', fileType: 'y' }, writes('a')],
    ['mcp__x__edit_files', { changes: [{ fileUri: 'file:///w/a' }, { fileUri: 'file:///w/b' }] }, writes('/w/a', '/w/b')],
    ['mcp__x__write_file', { uri: 'file:///w/my%20app/%C3%BC' }, writes('/w/my app/ü')],
    ['mcp__x__write_file', { uri: 'FILE://localhost/w/a' }, writes('/w/a')],
    ['mcp__x__write_file', { uri: 'file:/w/100%' }, writes('/w/100%')],
    ['mcp__x__write_file', { uri: 'file:///w/a%00b' }, writes('/w/a%00b')],
    ['mcp__x__search_and_replace', { relative_path: 'a' }, writes('a')],
    ['mcp__x__write_file', { relative_path: 5 }, writes()],
    ['mcp__x__apply_patch', { patch: '--- a/x\n+++ b/x\n' }, writes('x')],
    ['SomethingNew', { path: '/w/a' }, writes('/w/a')],
    ['SomethingNew', { command: 'make' }, writes()],
  ])('%s %j', (tool, input, expected) => expect(intent(tool, input)).toMatchObject(expected))

  it.each([
    [null, {}],
    ['Read', { file_path: '/w/a' }],
    ['Grep', { path: '/w' }],
    ['Task', { prompt: 'x' }],
    ['Agent', { prompt: 'x' }],
    ['EnterWorktree', { name: 'x' }],
    ['Bash', { command: 'git status' }],
    ['shell', { command: ['ls', '-la'] }],
    ['Monitor', { command: 'tail -f x' }],
    ['str_replace_editor', { command: 'view', path: '/w/a' }],
    ['mcp__fs__read_file', { path: '/w/a' }],
    ['mcp__github__create_issue', { title: 'x' }],
    ['mcp__x__update_profile', { profile: 'x', direction: 'y' }],
    ['mcp__x__find_symbol', { relative_path: 'src' }],
    ['mcp__x__get_copy', { relative_path: 5 }],
    ['mcp__git__git_log', { repo_path: '/w' }],
    ['mcp__x__execute_command', { command: 'ls' }],
    ['SomethingNew', { title: 'x' }],
    ['ReadSomethingNew', { path: '/w' }],
  ])('%s %j changes nothing', (tool, input) =>
    expect(intent(tool, input)).toEqual({ writes: false, paths: [], shell: false, command: null }),
  )

  it('say how long they may take', () => {
    expect(statedTimeoutMs({ tool: 'Bash', input: { timeout: 5000 } })).toBe(5000)
    expect(statedTimeoutMs({ tool: 'Monitor', input: { timeout_ms: 7000 } })).toBe(7000)
    for (const timeout of [undefined, 'x', -1, NaN, Infinity, {}]) expect(statedTimeoutMs({ tool: 'Bash', input: { timeout } })).toBeNull()
  })
})
