import { usage } from '../../core/fault.ts'
import { kernelLock } from '../../host/kernel-lock.ts'
import type { Access } from './gateway.ts'
import { EtcdStore } from './store.ts'
import type { EtcdStoreOptions } from './store.ts'
import type { Place } from './url.ts'
import { parsePlace } from './url.ts'

/** An etcd store as the configuration names it. */
export interface EtcdSettings {
  readonly url: string
  /** Hosts that a password may be sent to, without ports. */
  readonly hosts: readonly string[]
  readonly access: Access
}

export type OpenEtcdOptions = Omit<EtcdStoreOptions, 'place' | 'access' | 'lock'> & { readonly etcd: EtcdSettings }

/** For one call to one member, milliseconds: longer than an election, shorter than a person's patience. */
const longestTimeoutMs = 2000

/** Less than this no network answers in, milliseconds. */
const shortestTimeoutMs = 250

/** Opens a store in etcd; nothing is sent before its first use. Throws `usage` for settings that cannot work. */
export function openEtcdStore({ etcd, ...options }: OpenEtcdOptions): EtcdStore {
  const place = parsePlace(etcd.url, 'store')
  refuseMisuse(place, etcd)
  // Whoever has little time, as a hook has, waits for one member no longer than that.
  const timeoutMs = Math.max(shortestTimeoutMs, Math.min(longestTimeoutMs, options.lockWaitMs))
  return new EtcdStore({ timeoutMs, ...options, place, access: etcd.access, lock: kernelLock })
}

function refuseMisuse({ endpoints }: Place, { hosts, access, url }: EtcdSettings): void {
  const { user, passwordFile, caFile, certFile, keyFile } = access
  const secure = url.startsWith('etcds:')
  if ((certFile === null) !== (keyFile === null)) throw usage('etcd.cert_file and etcd.key_file are only of use together')
  if (!secure && (caFile !== null || certFile !== null) && user === null)
    throw usage(`etcd.ca_file and etcd.cert_file are for TLS, and ${url} has none`, 'write etcds:// to use TLS')
  if (user === null) return
  if (passwordFile === null) throw usage('etcd.user needs etcd.password_file', 'lh config set --user etcd.password_file /absolute/path')
  // The URL may come from a repository that anybody wrote; the password is not theirs to ask for.
  const known = hosts.map(bare)
  const stranger = endpoints.map(endpoint => new URL(endpoint).hostname).find(host => !known.includes(bare(host)))
  if (stranger !== undefined)
    throw usage(
      `the password of etcd.user is not sent to ${stranger}: it is not among etcd.hosts`,
      `if it is yours: lh config set --user etcd.hosts ${[...hosts, stranger].filter(host => host !== '').join(',')}`,
    )
}

/** A host as it is compared: in small letters, and an address of IPv6 without the brackets that only a URL needs. */
const bare = (host: string): string => host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
