import { createServer, request as ask } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Member } from './etcd-cluster.ts'

/** What a proxy does to the calls that go through it. */
export interface Meddling {
  /** The body of a call as it is passed on. */
  readonly passed?: (route: string, body: Body) => Body
  /** The call is passed on, and its answer is not. */
  readonly loses?: (route: string, body: Body) => boolean
  /** What a call is answered with at once, and never passed on; null passes it on. */
  readonly instead?: (route: string) => string | null
  /** Each call waits so long before it is passed on, milliseconds. */
  readonly delayMs?: () => number
}

// oxlint-disable-next-line typescript/no-explicit-any -- whatever is sent
type Body = any

/** Between clients and a member of a cluster. */
export interface Proxy {
  readonly port: number
  close(): Promise<void>
}

/** A proxy in this process, reachable at every address of this machine. */
export async function proxyTo(
  { address }: Pick<Member, 'address'>,
  { passed = (_, body) => body, loses = () => false, instead = () => null, delayMs = () => 0 }: Meddling,
): Promise<Proxy> {
  const [host, port] = address.split(':')
  const server = createServer((from, to) => {
    const parts: Buffer[] = []
    const route = from.url ?? '/'
    from.on('data', (part: Buffer) => void parts.push(part))
    from.once('end', () => {
      const text = Buffer.concat(parts).toString()
      const other = instead(route)
      if (other !== null) return void to.writeHead(502).end(other)
      const body: Body = text === '' ? null : JSON.parse(text)
      const options = { host, port, path: route, method: from.method, headers: { 'content-type': 'application/json' } }
      const sent = ask(options, answer => {
        if (loses(route, body)) {
          answer.resume().once('end', () => to.destroy())
          return
        }
        to.writeHead(answer.statusCode ?? 500)
        answer.pipe(to)
      })
      sent.once('error', () => to.destroy())
      setTimeout(() => sent.end(body === null ? '' : JSON.stringify(passed(route, body))), delayMs())
    })
  })
  await new Promise<void>(resolve => server.listen(0, '0.0.0.0', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.closeAllConnections()
      return new Promise(resolve => server.close(() => resolve()))
    },
  }
}
