import { randomUUID } from 'node:crypto'
import { isFault } from '../../core/fault.ts'
import type { Gateway } from './gateway.ts'
import { only, pairsOf, put, revisionOf, unchanged } from './messages.ts'
import type { Step, TxnAnswer } from './messages.ts'
import type { EtcdStore } from './store.ts'
import { settingsToValue } from './values.ts'
import type { SpaceSettings } from './values.ts'

/**
 * Writes what holds for the space as a whole, and `more` with it, if it is as at revision `mod`; resolves to the new revision, or to null where
 * somebody else changed it. A write whose answer was lost is sent once more: it happens once, and is known again by a name of its own.
 */
export async function writeSettings(
  { gateway, names }: EtcdStore,
  settings: SpaceSettings,
  mod: number,
  more: readonly Step[] = [],
): Promise<number | null> {
  const value = settingsToValue(settings, randomUUID())
  const request = {
    compare: [unchanged(names.cfg, mod)],
    success: [put(names.cfg, value), ...more],
    failure: [{ request_range: only(names.cfg) }],
  }
  const body = await sentTwice(gateway, request)
  if (body.succeeded === true) return revisionOf(body)
  const [found] = pairsOf(body.responses?.[0]?.response_range)
  return found?.value === value ? found.mod : null
}

/** A transaction that may happen twice, or that its own compares keep from it: sent once more where it is not known whether it happened. */
export async function sentTwice(gateway: Gateway, request: object): Promise<TxnAnswer> {
  const send = async (): Promise<TxnAnswer> => (await gateway.call<TxnAnswer>('/v3/kv/txn', request, { changes: true })).body
  try {
    return await send()
  } catch (error) {
    const second = isFault(error) && error.details?.['outcome'] === 'unknown' ? await send().catch(() => null) : null
    if (second === null) throw error
    return second
  }
}
