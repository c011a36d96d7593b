/** The `LEASEHOLD_*` variables that are not configuration; anything else with that prefix is a spelling mistake. */
export const otherVariables: readonly string[] = [
  'LEASEHOLD_SESSION_ID',
  'LEASEHOLD_LEASE',
  'LEASEHOLD_TOKEN',
  'LEASEHOLD_RESOURCES',
  'LEASEHOLD_LEASES',
  'LEASEHOLD_LIVE',
  'LEASEHOLD_TICKET',
  'LEASEHOLD_GATE',
  'LEASEHOLD_LAUNCH_ID',
  'LEASEHOLD_START',
  'LEASEHOLD_LAUNCH_LIVE',
  'LEASEHOLD_LAUNCH_REPORT',
  'LEASEHOLD_ROLE',
  'LEASEHOLD_PEERS',
  'LEASEHOLD_READY_FD',
  'LEASEHOLD_PID',
  'LEASEHOLD_REQUIRE_ALL',
  'LEASEHOLD_CANARY',
]

/** Is this one of ours, and no setting? What begins with `LEASEHOLD_TEST_` belongs to whoever tests Leasehold. */
export const isOtherVariable = (name: string): boolean => otherVariables.includes(name) || name.startsWith('LEASEHOLD_TEST_')
