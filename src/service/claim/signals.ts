/** Signals that ask a program to end. */
export const endings = ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP'] as const

/** Signals that are for what we run, whatever they mean to it. Without a handler SIGUSR1 would make Node listen for a debugger. */
export const forwarded = [...endings, 'SIGUSR1', 'SIGUSR2'] as const

/** The Ctrl-C and Ctrl-\\ of a terminal reach every program on it. */
export const isFromTerminal = (signal: NodeJS.Signals): boolean => signal === 'SIGINT' || signal === 'SIGQUIT'

/** Calls `listen` for each of these signals until what is returned is called. */
export function onSignals(signals: readonly NodeJS.Signals[], listen: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of signals) process.on(signal, listen)
  return () => {
    for (const signal of signals) process.off(signal, listen)
  }
}
