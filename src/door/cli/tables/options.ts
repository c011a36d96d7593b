import type { OptionSpec } from '../command.ts'

// Options that several tables share. A file of their own, since whatever a table imports is loaded with it.

export const ttl: OptionSpec = {
  name: 'ttl',
  value: '<duration>',
  doc: 'how long without a renewal: 600 (seconds), 10m, 2h; 1s to 30d; 0 = indefinite, needs --reason',
}
export const reason: OptionSpec = { name: 'reason', value: '<text>', doc: 'why; kept in the log' }
export const opId: OptionSpec = {
  name: 'op-id',
  value: '<id>',
  doc: 'ask under this id: the same id again gives the same holder the first answer, it happens once',
}
export const token: OptionSpec = { name: 'token', value: '<n>', doc: 'the fencing token you hold; it has to be the current one' }
export const lease: OptionSpec = {
  name: 'lease',
  value: '<id>',
  doc: 'the lease id you hold; together with --token it is enough, whoever you are',
}
/** What is shown for a lease. */
export const proof: readonly OptionSpec[] = [token, lease]
export const wait: OptionSpec = {
  name: 'wait',
  value: '<duration>',
  optional: true,
  doc: 'wait until it is free, at most this long (--wait alone: without limit)',
}
