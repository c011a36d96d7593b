/** The agents whose hooks Leasehold installs. */
export const agentNames = ['claude', 'codex', 'gemini', 'qwen', 'copilot', 'cursor', 'opencode'] as const

/** One of them. */
export type AgentName = (typeof agentNames)[number]

/** Is this the name of an agent whose hooks can be installed? */
export const isAgentName = (name: string): name is AgentName => (agentNames as readonly string[]).includes(name)
