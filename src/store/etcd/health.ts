import type { MemberHealth } from '../store.ts'
import type { Gateway } from './gateway.ts'

/** For one member's word about itself, milliseconds. */
const timeoutMs = 1000

/** What a member says of itself. */
export interface MemberStatus {
  readonly header: { readonly member_id: string; readonly revision: string }
  readonly version: string
  readonly dbSize?: string
  readonly dbSizeInUse?: string
  readonly leader?: string
  readonly raftTerm?: string
}

/** Asked, and what came of it. */
export interface Asked {
  readonly endpoint: string
  readonly status: MemberStatus | null
  /** Why there is none. */
  readonly error: string | null
}

/** Asks every endpoint for itself, all at once. */
export const askMembers = (gateway: Gateway): Promise<readonly Asked[]> =>
  Promise.all(
    gateway.endpoints.map(async endpoint => {
      try {
        return { endpoint, status: await gateway.askOne<MemberStatus>(endpoint, '/v3/maintenance/status', {}, timeoutMs), error: null }
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        return { endpoint, status: null, error: typeof code === 'string' ? code : message }
      }
    }),
  )

/** How the members of the URL are, for people. */
export async function membersOf(gateway: Gateway): Promise<readonly MemberHealth[]> {
  return (await askMembers(gateway)).map(({ endpoint, status, error }) => ({
    endpoint,
    state:
      status === null
        ? 'silent'
        : (status.leader ?? '0') === '0'
          ? 'leaderless'
          : status.leader === status.header.member_id
            ? 'leader'
            : 'member',
    error,
  }))
}
