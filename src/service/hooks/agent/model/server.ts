import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as anthropic from './anthropic.ts'
import * as gemini from './gemini.ts'
import * as openai from './openai.ts'

/** A model API on the loopback interface that needs no account: what the "model" does is in the prompt (`promptFor`). */
export interface ScriptedModel {
  readonly url: string
  /** Method and path of each request so far. */
  readonly requests: readonly string[]
  close(): Promise<void>
}

/** Above this a request is none of ours. */
const maxBodyBytes = 64 * 1024 * 1024

/** Starts the APIs of Anthropic (Messages), OpenAI (Responses) and Gemini on one free port of 127.0.0.1. */
export async function startScriptedModel(): Promise<ScriptedModel> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    answer(request, response, requests.length).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, serial: number): Promise<void> {
  const body = await bodyOf(request)
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
  if (request.method !== 'POST') return json(response, {}, 404)
  if (pathname.endsWith('/count_tokens')) return json(response, { input_tokens: 100 })
  if (pathname.endsWith(':countTokens')) return json(response, { totalTokens: 100 })
  if (pathname.endsWith('/v1/messages')) return stream(response, anthropic.eventsFor(body, serial))
  if (pathname.endsWith('/responses')) return stream(response, openai.eventsFor(body, serial))
  if (pathname.endsWith('ateContent')) {
    const document = gemini.answerFor(body)
    if (searchParams.get('alt') !== 'sse') return json(response, pathname.endsWith(':streamGenerateContent') ? [document] : document)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(`data: ${JSON.stringify(document)}\n\n`)
    return
  }
  json(response, {}, 404)
}

async function bodyOf(request: IncomingMessage): Promise<Record<string, never>> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > maxBodyBytes) throw new Error('the request is too large')
    chunks.push(chunk)
  }
  return bytes === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

function json(response: ServerResponse, document: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(document))
}

function stream(response: ServerResponse, events: Iterable<readonly [type: string, data: Record<string, unknown>]>): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const [type, data] of events) response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`)
  response.end()
}
