import type { Run } from '../command.ts'
export const schema: Run = async () => 1
