import { join } from 'node:path'
import { isFault } from '../../../core/fault.ts'
import { claudeDirectory, sharedSettings } from './claude.ts'
import type { Surroundings } from './client.ts'
import { ourEntries } from './document.ts'
import { readAgentFile } from './file.ts'
import type { AgentName } from './names.ts'

/** Claude's settings that another agent runs hooks from. Copilot reads the repository's, Cursor (where it is switched on) the user's too. */
function borrowed(name: AgentName, around: Surroundings): readonly string[] {
  if (name === 'copilot') return sharedSettings(around.root)
  return name === 'cursor' ? [...sharedSettings(around.root), join(claudeDirectory(around), 'settings.json')] : []
}

/** A settings file with our hooks that this agent reads although it is another's; null when there is none. */
export function coveredBy(name: AgentName, around: Surroundings): string | null {
  return borrowed(name, around).find(hasOurs) ?? null
}

function hasOurs(path: string): boolean {
  try {
    const { text } = readAgentFile(path)
    return text !== null && text.trim() !== '' && Object.keys(ourEntries({ path, text, dialect: 'json with mark' })).length > 0
  } catch (error) {
    if (isFault(error)) return false
    throw error
  }
}
