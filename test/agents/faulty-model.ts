import { createServer, request as forward } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startScriptedModel } from '../../src/service/hooks/agent/model/server.ts'

/** How a model API behaves: as it should, with a wrong key, without an answer, or cut off in the middle of one. */
export type Manner = 'good' | 'wrong key' | 'hangs' | 'dies'

/** The scripted model, behind something that can go wrong. */
export interface FaultyModel {
  readonly url: string
  /** Requests of a model so far, those that were answered and those that were not. */
  readonly asked: () => number
  close(): Promise<void>
}

/** What each of them says to a wrong key, as their own servers word it. */
const refusals = {
  anthropic: { type: 'error', error: { type: 'authentication_error', message: 'invalid x-api-key' } },
  openai: {
    error: { message: 'Incorrect API key provided: not-a-key.', type: 'invalid_request_error', param: null, code: 'invalid_api_key' },
  },
  gemini: { error: { code: 401, message: 'API key not valid. Please pass a valid API key.', status: 'UNAUTHENTICATED' } },
}

/** Starts one on a free port of 127.0.0.1. */
export async function startFaultyModel(manner: Manner): Promise<FaultyModel> {
  const scripted = await startScriptedModel()
  let asked = 0
  const server = createServer((request, response) => {
    const path = request.url ?? '/'
    const isQuestion = request.method === 'POST' && /\/v1\/messages(?!\/)|\/responses|ateContent/.test(path)
    if (isQuestion) asked++
    if (isQuestion && manner === 'hangs') return void request.resume()
    if (isQuestion && manner === 'wrong key') return refuse(path, request, response)
    pass(scripted.url, request, response, isQuestion && manner === 'dies')
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: () => asked,
    close: async () => {
      await new Promise<void>(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      await scripted.close()
    },
  }
}

function refuse(path: string, request: IncomingMessage, response: ServerResponse): void {
  const body = path.includes('/v1/messages') ? refusals.anthropic : path.includes('/responses') ? refusals.openai : refusals.gemini
  request.resume()
  response.writeHead(401, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

/** Hands the request on; `cut` lets the first 60 % of the answer through and then breaks the connection. */
function pass(url: string, request: IncomingMessage, response: ServerResponse, cut: boolean): void {
  const { host: _host, ...headers } = request.headers
  const onward = forward(new URL(request.url ?? '/', url), { method: request.method, headers }, answer => {
    const chunks: Buffer[] = []
    answer.on('data', (chunk: Buffer) => chunks.push(chunk))
    answer.on('end', () => {
      const body = Buffer.concat(chunks)
      response.writeHead(answer.statusCode ?? 500, { 'content-type': answer.headers['content-type'] })
      if (!cut) return void response.end(body)
      response.write(body.subarray(0, Math.floor(body.length * 0.6)), () => response.socket?.destroy())
    })
  })
  onward.on('error', () => response.destroy())
  request.pipe(onward)
}
