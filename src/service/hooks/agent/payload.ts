import type { AgentName } from './names.ts'

const session = '7f2d0a52-3c1e-4f43-9a52-0c6b8e1d2f34'

/** What an agent sends before it writes a file; the shapes were recorded from the real ones (Cursor: from its published code). */
export function payloadOf(agent: AgentName, workspace: string, file: string): Readonly<Record<string, unknown>> {
  const named = { session_id: session, cwd: workspace, transcript_path: `${workspace}/transcript.jsonl` }
  const input = { file_path: file, content: 'canary\n' }
  switch (agent) {
    case 'claude':
      return {
        ...named,
        permission_mode: 'acceptEdits',
        hook_event_name: 'PreToolUse',
        tool_name: 'Write',
        tool_input: input,
        tool_use_id: 'toolu_1',
      }
    case 'codex': {
      const patch = '*** Begin Patch\n*** Add File: canary.txt\n+canary\n*** End Patch\n'
      return {
        ...named,
        turn_id: session,
        hook_event_name: 'PreToolUse',
        tool_name: 'apply_patch',
        tool_input: { command: patch },
        tool_use_id: 'call_1',
      }
    }
    case 'gemini':
      return { ...named, hook_event_name: 'BeforeTool', timestamp: '2026-01-01T00:00:00.000Z', tool_name: 'write_file', tool_input: input }
    case 'qwen':
      return {
        ...named,
        hook_event_name: 'PreToolUse',
        timestamp: '2026-01-01T00:00:00.000Z',
        tool_name: 'write_file',
        tool_input: input,
        tool_use_id: 'call_1',
      }
    case 'copilot':
      return {
        sessionId: session,
        timestamp: 1_767_225_600_000,
        cwd: workspace,
        toolName: 'create',
        toolArgs: { path: file, file_text: 'canary\n' },
      }
    case 'cursor':
      return {
        ...named,
        conversation_id: session,
        generation_id: session,
        hook_event_name: 'preToolUse',
        cursor_version: '3.0.0',
        workspace_roots: [workspace],
        tool_name: 'Write',
        tool_input: input,
        tool_use_id: 'tool_1',
      }
    case 'opencode':
      return {
        session_id: session,
        hook_event_name: 'PreToolUse',
        cwd: workspace,
        tool_name: 'write',
        tool_input: { filePath: file, content: 'canary\n' },
        tool_use_id: 'call_1',
      }
  }
}
