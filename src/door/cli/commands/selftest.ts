import type { Run } from '../command.ts'
export const selftest: Run = async () => 1
