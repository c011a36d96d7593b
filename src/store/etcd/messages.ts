// The few messages of etcd's version 3 API that we use, as its JSON gateway takes them: bytes are base64, 64-bit numbers are strings,
// and what is zero, false or empty is left out of an answer.

export const toBytes = (text: string): string => Buffer.from(text).toString('base64')
export const fromBytes = (bytes: string): string => Buffer.from(bytes, 'base64').toString()

/** A stored name and value. */
export interface Pair {
  readonly name: string
  readonly value: string
  /** Revision of its last write; 0 for a name that is not there. */
  readonly mod: number
  /** Id of the engine lease that it is attached to; `0` for none. */
  readonly lease: string
}

export interface Header {
  readonly revision: string
  readonly member_id?: string
}

export interface RangeRequest {
  readonly key: string
  readonly range_end?: string
  readonly limit?: string
  readonly revision?: string
  readonly sort_order?: 'ASCEND' | 'DESCEND'
  readonly sort_target?: 'KEY' | 'MOD'
  readonly min_mod_revision?: string
  readonly max_mod_revision?: string
  readonly keys_only?: boolean
  readonly count_only?: boolean
}

interface WirePair {
  readonly key: string
  readonly value?: string
  readonly mod_revision: string
  readonly lease?: string
}

export interface RangeAnswer {
  readonly header: Header
  readonly kvs?: readonly WirePair[]
  readonly more?: boolean
  readonly count?: string
}

export interface Compare {
  readonly key: string
  readonly target: 'MOD' | 'CREATE'
  readonly result: 'EQUAL'
  readonly mod_revision?: string
  readonly create_revision?: string
}

/** A transaction inside another one: all compares are evaluated before anything is done. */
export interface NestedRequest {
  readonly compare: readonly Compare[]
  readonly success: readonly Step[]
  readonly failure: readonly Step[]
}

export type Step =
  | { readonly request_txn: NestedRequest }
  | { readonly request_range: RangeRequest }
  | { readonly request_put: { readonly key: string; readonly value: string; readonly lease?: string } }
  | { readonly request_delete_range: { readonly key: string; readonly range_end?: string } }

export interface TxnAnswer {
  readonly header: Header
  readonly succeeded?: boolean
  readonly responses?: readonly { readonly response_range?: RangeAnswer; readonly response_txn?: Omit<TxnAnswer, 'header'> }[]
}

export const pairsOf = (answer: RangeAnswer | undefined): readonly Pair[] =>
  (answer?.kvs ?? []).map(({ key, value = '', mod_revision, lease = '0' }) => ({
    name: fromBytes(key),
    value: fromBytes(value),
    mod: Number(mod_revision),
    lease,
  }))

export const revisionOf = ({ header }: { readonly header: Header }): number => Number(header.revision)

/** One name. */
export const only = (name: string): RangeRequest => ({ key: toBytes(name) })

/** All names from `prefix` up to `end`. */
export const between = (from: string, end: string): RangeRequest => ({ key: toBytes(from), range_end: toBytes(end) })

/** True while nobody has written this name since it was read; 0 = it was not there. */
export const unchanged = (name: string, mod: number): Compare =>
  mod === 0
    ? { key: toBytes(name), target: 'CREATE', result: 'EQUAL', create_revision: '0' }
    : { key: toBytes(name), target: 'MOD', result: 'EQUAL', mod_revision: String(mod) }

/** True while this name is not there. */
export const absent = (name: string): Compare => unchanged(name, 0)

export const put = (name: string, value: string, lease?: string): Step => ({
  request_put: { key: toBytes(name), value: toBytes(value), ...(lease === undefined ? {} : { lease }) },
})

export const remove = (name: string): Step => ({ request_delete_range: { key: toBytes(name) } })
