export { branchKey, claimSet, purposeOf, worktreeKey, type Purpose } from '../identity/purpose.ts'
