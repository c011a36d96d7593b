import { usage } from '../../core/fault.ts'

/** Where an etcd cluster is, and which of its spaces is meant. */
export interface Place {
  /** `http://host:port`, in the order of the URL. */
  readonly endpoints: readonly string[]
  /** The URL's path: clones with the same one share their leases. */
  readonly space: string
  /** One spelling of the URL; it never has a secret in it. */
  readonly shown: string
}

const example = 'For example etcd://127.0.0.1:2379/team/repo, or etcds://… over TLS; several hosts between commas.'

/** Reads `etcd://host[:port][,host[:port]…]/space`; `etcds:` is the same over TLS. Throws `usage`; `where` begins the message. */
export function parsePlace(text: string, where: string): Place {
  const parts = /^(etcds?):\/\/([^/?#\s]+)\/([^?#\s]*)$/.exec(text)
  const [scheme, hosts = '', path = ''] = parts?.slice(1) ?? []
  if (hosts.includes('@'))
    throw usage(
      `${where}: the URL of a store must not have a user or password in it.`,
      'Set etcd.user, and etcd.password_file (a file with the password); see: lh config list',
    )
  const space = path.replace(/\/+$/, '')
  if (scheme === undefined || space === '' || /(^|\/)\.{0,2}(\/|$)/.test(space) || !/^[A-Za-z0-9._/-]{1,128}$/.test(space))
    throw usage(`${where}: ${JSON.stringify(text)} names no etcd store: hosts, then the name of the space.`, example)
  const addresses = hosts.split(',').map(host => address(host, text, where))
  const http = scheme === 'etcds' ? 'https' : 'http'
  return { endpoints: addresses.map(each => `${http}://${each}`), space, shown: `${scheme}://${addresses.join(',')}/${space}` }
}

function address(host: string, text: string, where: string): string {
  const found = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(host)
  const port = Number(found?.[2] ?? 2379)
  if (found === null || port < 1 || port > 65_535) throw usage(`${where}: ${JSON.stringify(host)} in ${text} is no host.`, example)
  return `${found[1]!.toLowerCase()}:${port}`
}
