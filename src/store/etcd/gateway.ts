import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { Fault, isFault } from '../../core/fault.ts'
import { refuseVersion, versionWarning } from './version.ts'

// One call is one POST to etcd's JSON gateway: nothing has to be loaded for it, which is what a command that lives for 100 ms needs.

/** Files and names; what is secret stays in its file until it is sent. */
export interface Access {
  /** Names a user of etcd. */
  readonly user: string | null
  readonly passwordFile: string | null
  /** PEM files. */
  readonly caFile: string | null
  readonly certFile: string | null
  readonly keyFile: string | null
}

export interface GatewayOptions {
  /** `http://host:port`. */
  readonly endpoints: readonly string[]
  readonly access: Access
  /** For one call to one endpoint, milliseconds; after it the next one is asked. */
  readonly timeoutMs: number
}

/** An answer, and where it came from. */
export interface Answered<T> {
  readonly body: T
  readonly endpoint: string
  /** An earlier endpoint was sent the same request and its answer never came: it may have done it. */
  readonly resent: boolean
}

interface Address {
  readonly host: string
  readonly port: string
  readonly secure: boolean
}

/** One endpoint that did not help. */
interface Failure {
  readonly endpoint: string
  readonly why: string
  /** The request had left: it may have been carried out. */
  readonly sent: boolean
  /** It went over a connection that was open from before. */
  readonly stale: boolean
}

/** etcd understood, and said no. `code` is gRPC's. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** Is this etcd's own "no" with this code? Told by its name: `leasehold/testing` has a copy of the class of its own. */
export const isEngineError = (error: unknown, code: number): error is EngineError =>
  error instanceof Error && error.name === 'EngineError' && (error as EngineError).code === code

/** gRPC codes. */
export const codes = { invalid: 3, notFound: 5, denied: 7, exhausted: 8, precondition: 9, outOfRange: 11, unauthenticated: 16 } as const

/** Null for the word that a revision was compacted away; throws what else it is given. */
export function onlyCompacted(error: unknown): null {
  if (isEngineError(error, codes.outOfRange)) return null
  throw error
}

/** Readings of several pages before somebody is told, each begun because its revision was compacted away. */
const compactedTries = 8

/** What `read` reads of one revision; anew where that one is compacted away meanwhile. */
export async function overCompactions<T>(read: () => Promise<T>): Promise<T> {
  for (let turn = 0; turn < compactedTries; turn++)
    try {
      // oxlint-disable-next-line no-await-in-loop -- one try after the other
      return await read()
    } catch (error) {
      onlyCompacted(error)
    }
  throw new Fault('unavailable', 'etcd compacts its history faster than it can be read', {
    hint: 'try again; let it keep some of it: --auto-compaction-mode periodic --auto-compaction-retention 1h',
    details: { outcome: 'nothing_changed' },
  })
}

/** etcd's own "no", as a fault of the world where only a person can help. */
function said(code: number, message: string, endpoint: string): Error {
  const details = { outcome: 'nothing_changed', endpoint }
  switch (code) {
    case codes.exhausted:
      return new Fault('unavailable', `etcd takes no more writes: ${message}`, {
        hint: 'make room in it: compact, defragment, then disarm the alarm',
        details,
      })
    case codes.denied:
    case codes.unauthenticated:
      return new Fault('unavailable', `etcd does not let us do that: ${message}`, {
        hint: 'the role of etcd.user has to read and write what begins with leasehold/v1/ and the name of the space',
        details,
      })
    default:
      return message.includes('user name is empty')
        ? new Fault('unavailable', `etcd asks who we are: ${message}`, { hint: 'set etcd.user and etcd.password_file', details })
        : new EngineError(code, message)
  }
}

/** Codes with which a member says that it cannot help now: somebody else may. */
const elsewhere: ReadonlySet<number> = new Set([1, 4, 10, 13, 14])

export interface CallOptions {
  readonly timeoutMs?: number
  /** Does the request change anything? Then a lost answer is not nothing. */
  readonly changes?: boolean
}

/** Most connections to one endpoint. */
const maxSockets = 32

/** Talks to a cluster: the endpoint that answered last is asked first, and the others after it, each within its own time. */
export class Gateway {
  readonly #options: GatewayOptions
  readonly #agents = new Map<string, http.Agent>()
  readonly #addresses = new Map<string, Address>()
  readonly #versions = new Map<string, Promise<string>>()
  /** For those who look after the cluster: what is doubtful about its members. */
  readonly warnings: string[] = []
  #preferred = 0
  #token: Promise<string> | null = null

  constructor(options: GatewayOptions) {
    this.#options = options
  }

  /** Who answered last, or would be asked first. */
  get endpoint(): string {
    return this.#options.endpoints[this.#preferred]!
  }

  get endpoints(): readonly string[] {
    return this.#options.endpoints
  }

  /**
   * Asks the endpoints one after the other until one answers. Throws `EngineError` for etcd's own "no", and `unavailable` when nobody
   * answered, with `outcome: unknown` if the request changes something and one of them may have done it.
   */
  async call<T>(
    path: string,
    request: object,
    { timeoutMs = this.#options.timeoutMs, changes = false }: CallOptions = {},
  ): Promise<Answered<T>> {
    const failures: Failure[] = []
    const { endpoints } = this.#options
    const first = this.#preferred
    for (let turn = 0, again = true; turn < endpoints.length; turn++) {
      const at = (first + turn) % endpoints.length
      const endpoint = endpoints[at]!
      try {
        // oxlint-disable-next-line no-await-in-loop -- one endpoint after the other
        const body = await this.#ask<T>(endpoint, path, request, timeoutMs)
        this.#preferred = at
        return { body, endpoint, resent: changes && failures.some(({ sent }) => sent) }
      } catch (error) {
        const failure = failureOf(endpoint, error, changes && failures.some(({ sent }) => sent))
        failures.push(failure)
        // A connection that was kept open may have died long ago; that says nothing of who is at its other end.
        if (failure.stale && again) {
          again = false
          turn--
        }
      }
    }
    throw nobodyAnswered(failures, changes)
  }

  /** Opens a stream of answers, one JSON document a line, at the endpoint that answered last. The caller ends it. */
  async stream(path: string, request: object, timeoutMs: number): Promise<http.IncomingMessage> {
    const { endpoint } = this
    const sent = this.#send(endpoint, path, request, await this.#authorization(endpoint))
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
      sent.once('response', response => {
        clearTimeout(timer)
        resolve(response)
      })
      sent.once('error', error => {
        clearTimeout(timer)
        reject(error)
      })
    })
  }

  /** Asks one endpoint and no other: whoever looks after a cluster wants the answer of each. */
  async askOne<T>(endpoint: string, path: string, request: object, timeoutMs = this.#options.timeoutMs): Promise<T> {
    return this.#attempt<T>(endpoint, path, request, timeoutMs)
  }

  /** A GET, of a version or a metric. */
  async read(endpoint: string, path: string, timeoutMs = this.#options.timeoutMs): Promise<string> {
    const { status, text } = await received(this.#request(endpoint, path, 'GET', {}).end(), timeoutMs)
    if (status !== 200) throw new Error(`${path} answered ${status}`)
    return text
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
    this.#agents.clear()
  }

  async #ask<T>(endpoint: string, path: string, request: object, timeoutMs: number): Promise<T> {
    const [answer] = await Promise.all([this.#attempt<T>(endpoint, path, request, timeoutMs), this.#judge(endpoint)])
    return answer
  }

  async #attempt<T>(endpoint: string, path: string, request: object, timeoutMs: number, again = true): Promise<T> {
    const authorization = await this.#authorization(endpoint)
    const { status, text } = await received(this.#send(endpoint, path, request, authorization), timeoutMs)
    const answer = parsed(text)
    if (status === 200 && isAnswer(path, answer)) return answer as T
    const { code, message } = (answer ?? {}) as { code?: number; message?: string }
    const isOld = code === codes.unauthenticated || (code === codes.invalid && message?.includes('auth store is old') === true)
    if (isOld && again && this.#options.access.user !== null) {
      this.#token = null
      return this.#attempt(endpoint, path, request, timeoutMs, false)
    }
    if (code === undefined || elsewhere.has(code)) throw new Error(message ?? outright(status, text))
    throw said(code, message ?? `status ${status}`, endpoint)
  }

  /** A member that can lose what it acknowledged is not written to, nor believed. Asked once. */
  async #judge(endpoint: string): Promise<void> {
    const known = this.#versions.get(endpoint)
    if (known !== undefined) return refuseVersion(await known, endpoint)
    const asked = this.read(endpoint, '/version').then(text => String((parsed(text) as { etcdserver?: string } | null)?.etcdserver))
    this.#versions.set(endpoint, asked)
    asked.catch(() => this.#versions.delete(endpoint))
    const version = await asked
    const warning = versionWarning(version, endpoint)
    if (warning !== null && !this.warnings.includes(warning)) this.warnings.push(warning)
    refuseVersion(version, endpoint)
  }

  async #authorization(endpoint: string): Promise<string | null> {
    const { user } = this.#options.access
    if (user === null) return null
    this.#token ??= this.#authenticate(endpoint, user)
    try {
      return await this.#token
    } catch (error) {
      this.#token = null
      throw error
    }
  }

  async #authenticate(endpoint: string, name: string): Promise<string> {
    const { passwordFile } = this.#options.access
    const password =
      passwordFile === null
        ? ''
        : readSecret(passwordFile, 'etcd.password_file')
            .toString()
            .replace(/\r?\n$/, '')
    const { status, text } = await received(
      this.#send(endpoint, '/v3/auth/authenticate', { name, password }, null),
      this.#options.timeoutMs,
    )
    const { token, code, message } = (parsed(text) ?? {}) as { token?: string; code?: number; message?: string }
    if (status === 200 && token !== undefined) return token
    if (code === undefined || elsewhere.has(code)) throw new Error(message ?? `it answered ${status}`)
    throw new Fault('unavailable', `etcd does not let the user ${JSON.stringify(name)} in: ${message}`, {
      hint: 'see: lh config explain etcd.user, and etcd.password_file',
      details: { outcome: 'nothing_changed', endpoint },
    })
  }

  #send(endpoint: string, path: string, request: object, authorization: string | null): http.ClientRequest {
    const body = JSON.stringify(request)
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const sent = this.#request(endpoint, path, 'POST', authorization === null ? headers : { ...headers, authorization })
    sent.end(body)
    return sent
  }

  #request(endpoint: string, path: string, method: string, headers: http.OutgoingHttpHeaders): http.ClientRequest {
    const { host, port, secure } = this.#address(endpoint)
    return (secure ? https : http).request({ host, port, path, method, headers, agent: this.#agent(endpoint, secure) })
  }

  #address(endpoint: string): Address {
    const known = this.#addresses.get(endpoint)
    if (known !== undefined) return known
    const { hostname, port, protocol } = new URL(endpoint)
    const address = { host: hostname.replace(/^\[(.*)\]$/, '$1'), port, secure: protocol === 'https:' }
    this.#addresses.set(endpoint, address)
    return address
  }

  #agent(endpoint: string, secure: boolean): http.Agent {
    const known = this.#agents.get(endpoint)
    if (known !== undefined) return known
    const options = { keepAlive: true, maxSockets }
    const agent = secure ? new https.Agent({ ...options, ...this.#certificates() }) : new http.Agent(options)
    this.#agents.set(endpoint, agent)
    return agent
  }

  #certificates(): https.AgentOptions {
    const { caFile, certFile, keyFile } = this.#options.access
    return {
      ...(caFile === null ? {} : { ca: readSecret(caFile, 'etcd.ca_file') }),
      ...(certFile === null ? {} : { cert: readSecret(certFile, 'etcd.cert_file') }),
      ...(keyFile === null ? {} : { key: readSecret(keyFile, 'etcd.key_file') }),
    }
  }
}

/** Every answer says of which cluster it is, a stream's one level deeper; only where no alarm was raised there is nothing at all. */
const isAnswer = (path: string, answer: unknown): boolean =>
  typeof answer === 'object' && answer !== null && ('header' in answer || 'result' in answer || path === alarmPath)

export const alarmPath = '/v3/maintenance/alarm'

/** An answer that is not etcd's JSON; the first line of it says why, as far as anything does. */
function outright(status: number, text: string): string {
  const line = text.trim().split('\n', 1)[0]!.slice(0, 160)
  const why = /CommonName/.test(line) ? 'a client certificate for its HTTP gateway must have no common name' : line
  return `it answered ${status}${why === '' ? '' : `: ${why}`}`
}

function readSecret(file: string, key: string): Buffer {
  try {
    return fs.readFileSync(file)
  } catch (error) {
    throw new Fault('usage', `${key}: ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`, { cause: error })
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** The whole answer, within a time. */
function received(sent: http.ClientRequest, timeoutMs: number): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs)
    const fail = (error: Error): void => {
      clearTimeout(timer)
      reject(Object.assign(error, { stale: sent.reusedSocket && (error as NodeJS.ErrnoException).code === 'ECONNRESET' }))
    }
    sent.once('error', fail)
    sent.once('response', response => {
      const parts: Buffer[] = []
      response.on('data', (part: Buffer) => void parts.push(part))
      response.once('error', fail)
      response.once('aborted', () => fail(new Error('the connection broke in the middle of the answer')))
      response.once('end', () => {
        clearTimeout(timer)
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(parts).toString() })
      })
    })
  })
}

/** Errors with which a connection was never made, so nothing was sent. */
const neverSent: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN'])

function failureOf(endpoint: string, error: unknown, mayBeDone: boolean): Failure {
  // What etcd itself answered, and what is wrong on our side, no other endpoint changes; but who was asked before may have done it.
  if (error instanceof Fault) throw mayBeDone ? asUnknown(error) : error
  if (error instanceof EngineError) throw error
  const { code, message, stale = false } = error as NodeJS.ErrnoException & { stale?: boolean }
  return { endpoint, why: code ?? message, sent: code === undefined || !neverSent.has(code), stale }
}

/** What was sent before this went wrong may have happened. */
export function asUnknown(error: unknown): unknown {
  if (!isFault(error) || error.details?.['outcome'] !== 'nothing_changed') return error
  return new Fault(error.code, `${error.message}; whether the command happened is unknown`, {
    hint: askAgain,
    details: { ...error.details, outcome: 'unknown' },
    cause: error,
  })
}

/** What to do about a member whose certificate we do not accept; null where the error is about something else. */
export function certificateHint(error: string): string | null {
  if (/^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*(?:ISSUER_CERT|SIGNATURE).*)$/.test(error))
    return 'nobody whom we know vouches for its certificate; name who does: lh config set --user etcd.ca_file /absolute/path'
  if (error === 'ERR_TLS_CERT_ALTNAME_INVALID') return 'its certificate is for another host: name the host in store as the certificate does'
  return error.startsWith('CERT_') ? 'its certificate is not valid, perhaps not today: have it renewed, and look at the clock here' : null
}

const askAgain = 'ask again with the same --op-id: it happens once'

function nobodyAnswered(failures: readonly Failure[], changes: boolean): Fault {
  const unknown = changes && failures.some(({ sent }) => sent)
  const tried = [...new Map(failures.map(({ endpoint, why }) => [endpoint, why]))].map(([endpoint, error]) => ({ endpoint, error }))
  const certificate = tried.map(({ error }) => certificateHint(error)).find(hint => hint !== null)
  const said = tried.map(({ endpoint, error }) => `${endpoint}: ${error}`).join('; ')
  return new Fault(
    'unavailable',
    unknown ? `etcd did not answer, and whether the command happened is unknown (${said})` : `etcd cannot be reached (${said})`,
    {
      hint: unknown ? askAgain : (certificate ?? 'who holds what is unknown until it answers; nothing is free because of that'),
      details: { outcome: unknown ? 'unknown' : 'nothing_changed', endpoints: tried },
    },
  )
}
