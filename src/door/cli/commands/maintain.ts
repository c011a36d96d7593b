import type { Run } from '../command.ts'
export const doctor: Run = async () => 1
export const recover: Run = async () => 1
export const verify: Run = async () => 1
export const compact: Run = async () => 1
