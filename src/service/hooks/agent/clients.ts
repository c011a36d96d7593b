import { claude } from './claude.ts'
import type { Client } from './client.ts'
import { codex } from './codex.ts'
import { copilot } from './copilot.ts'
import { cursor } from './cursor.ts'
import { gemini } from './gemini.ts'
import type { AgentName } from './names.ts'
import { opencode } from './opencode.ts'
import { qwen } from './qwen.ts'

/** Every agent whose hooks can be installed. */
export const clients: Readonly<Record<AgentName, Client>> = { claude, codex, gemini, qwen, copilot, cursor, opencode }
