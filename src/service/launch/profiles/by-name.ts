import { basename } from 'node:path'
import type { Profile, ProfileName } from '../evidence.ts'
import { command } from './command.ts'

/** Loads one profile. The one for any command is small, and most launches of it have nothing else to load. */
export async function profileOf(name: ProfileName): Promise<Profile> {
  switch (name) {
    case 'claude':
      return (await import('./claude.ts')).claude
    case 'codex':
      return (await import('./codex.ts')).codex
    case 'gemini':
      return (await import('./gemini.ts')).gemini
    case 'qwen':
      return (await import('./qwen.ts')).qwen
    case 'acp':
      return (await import('./acp-profile.ts')).acp
    case 'command':
      return command
  }
}

/** The profile that a command's program asks for by its name. */
export function guessProfile(command: readonly string[]): ProfileName {
  const name = basename(command[0] ?? '').replace(/\.(?:exe|js|cjs|mjs)$/, '')
  return name === 'claude' || name === 'codex' || name === 'gemini' || name === 'qwen' ? name : 'command'
}
