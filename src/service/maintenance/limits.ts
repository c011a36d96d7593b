import type { Store } from '../../store/store.ts'
export const setLimits = async (_store: Store, _limits: Record<string, number>): Promise<void> => undefined
