/**
 * A server that speaks just enough of protocol 3 to answer what a test tells it to: for refusals and silences that a real
 * PostgreSQL cannot be made to produce at will, and for counting sockets.
 */
import { once } from 'node:events'
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net'
import { type WireMessage, WireParser, cString } from './wire.js'

/** An error as PostgreSQL would send it. */
export interface Refusal {
  readonly code: string
  readonly message: string
}

/** What becomes of a statement: done with a tag and rows of text, refused, never answered, or the socket is dropped. */
export type Answer =
  | {
      readonly tag: string
      readonly columns?: readonly string[]
      readonly rows?: readonly (readonly (string | null)[])[]
    }
  | Refusal
  | 'silence'
  | 'hang up'

/** Options of {@link startFakeServer}. */
export interface FakeServerOptions {
  /** Answers a client that introduces itself. Default: welcome. */
  readonly onStartup?: (
    parameters: Readonly<Record<string, string>>,
  ) => 'welcome' | Refusal | 'silence' | 'hang up'
  /** Answers a statement when it is executed; undefined: done, with the statement's first word as tag. */
  readonly onStatement?: (sql: string) => Answer | undefined
}

/** Starts the server on a free port. Close it in the end. */
export async function startFakeServer(options: FakeServerOptions = {}): Promise<FakeServer> {
  const server = new FakeServer(options)
  await server.listen()
  return server
}

export class FakeServer implements Disposable {
  readonly #options: FakeServerOptions
  readonly #server: Server
  readonly #sessions = new Set<FakeSession>()
  /** The SQL that was executed (not what was only parsed, or skipped after a failure), in order, on all connections. */
  readonly executed: string[] = []
  /** Sockets that were ever accepted. */
  acceptedSockets = 0
  /** The most sockets that were open at once. */
  mostSockets = 0
  /** CancelRequests that came. */
  cancelRequests = 0

  /** Use {@link startFakeServer}. */
  constructor(options: FakeServerOptions) {
    this.#options = options
    this.#server = createServer({ noDelay: true }, (socket) => {
      const session = new FakeSession(socket, this.acceptedSockets + 1, this.#options, this)
      this.#sessions.add(session)
      socket.once('close', () => this.#sessions.delete(session))
      this.acceptedSockets++
      this.mostSockets = Math.max(this.mostSockets, this.#sessions.size)
    })
  }

  get url(): string {
    return `postgresql://fake:secret@127.0.0.1:${(this.#server.address() as AddressInfo).port}/fake`
  }

  get openSockets(): number {
    return this.#sessions.size
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  /** Drops every client, as a crash would. */
  dropAll(): void {
    for (const session of this.#sessions) session.drop()
  }

  /** Drops every client and stops listening. */
  close(): void {
    this.dropAll()
    this.#server.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

class FakeSession {
  readonly #socket: Socket
  readonly #processId: number
  readonly #options: FakeServerOptions
  readonly #server: FakeServer
  readonly #parser = new WireParser()
  readonly #statements = new Map<string, string>()
  readonly #portals = new Map<string, string>()
  #status: 'I' | 'T' | 'E' = 'I'
  #skipToSync = false
  #silent = false

  constructor(socket: Socket, processId: number, options: FakeServerOptions, server: FakeServer) {
    this.#socket = socket
    this.#processId = processId
    this.#options = options
    this.#server = server
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      socket.cork()
      for (const message of this.#parser.fromClient(chunk)) this.#handle(message)
      socket.uncork()
    })
  }

  drop(): void {
    this.#silent = true
    // See `ProxiedConnection` for why not always.
    if (this.#socket.writableEnded) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
  }

  #handle(message: WireMessage): void {
    if (this.#silent) return
    if (this.#skipToSync && message.name !== 'Sync' && message.name !== 'Terminate') return
    switch (message.name) {
      case 'SSLRequest':
      case 'GSSENCRequest':
        // Tells the parser, too, that plain text follows.
        this.#parser.fromServer(Buffer.from('N'))
        this.#socket.write('N')
        return
      case 'CancelRequest':
        this.#server.cancelRequests++
        this.#socket.end()
        return
      case 'StartupMessage':
        return this.#startup(message.bytes)
      case 'Query':
        if (this.#execute(message.text, true)) this.#ready()
        return
      case 'Parse':
        this.#statements.set(cString(message.bytes, 5).text, message.text)
        return this.#send('1')
      case 'Bind':
        this.#portals.set(cString(message.bytes, 5).text, this.#statements.get(message.text) ?? '')
        return this.#send('2')
      case 'Describe':
        return this.#describe(message.bytes)
      case 'Execute':
        this.#execute(this.#portals.get(cString(message.bytes, 5).text) ?? '', false)
        return
      case 'Close':
        return this.#send('3')
      case 'Sync':
        this.#skipToSync = false
        return this.#ready()
      case 'Terminate':
        this.#socket.end()
    }
  }

  #startup(bytes: Buffer): void {
    const parameters: Record<string, string> = {}
    for (let at = 8; bytes[at] !== 0;) {
      const name = cString(bytes, at)
      const value = cString(bytes, name.end)
      parameters[name.text] = value.text
      at = value.end
    }
    const answer = this.#options.onStartup?.(parameters) ?? 'welcome'
    if (answer === 'silence') this.#silent = true
    else if (answer === 'hang up') this.drop()
    else if (answer === 'welcome') {
      this.#send('R', int32(0))
      for (const [name, value] of Object.entries({
        server_version: '18.0',
        client_encoding: 'UTF8',
        in_hot_standby: 'off',
      })) {
        this.#send('S', text(name), text(value))
      }
      this.#send('K', int32(this.#processId), int32(42))
      this.#ready()
    } else {
      this.#refuse(answer, 'FATAL')
      this.#socket.end()
    }
  }

  #describe(bytes: Buffer): void {
    const ofStatement = bytes[5] === 0x53 /* S */
    const sql = (ofStatement ? this.#statements : this.#portals).get(cString(bytes, 6).text) ?? ''
    if (ofStatement) this.#send('t', int16(0))
    const answer = this.#options.onStatement?.(sql)
    const columns = typeof answer === 'object' && 'tag' in answer ? answer.columns : undefined
    this.#describeRow(columns)
  }

  #describeRow(columns: readonly string[] | undefined): void {
    if (columns === undefined) return this.#send('n')
    // No table, type text, of variable length, as text.
    const fields = columns.map((name) => [
      text(name),
      int32(0),
      int16(0),
      int32(25),
      int16(-1),
      int32(-1),
      int16(0),
    ])
    this.#send('T', int16(columns.length), ...fields.flat())
  }

  /** False when nothing may follow. */
  #execute(sql: string, simple: boolean): boolean {
    const word = /^\s*(\w*)/.exec(sql)?.[1]?.toUpperCase() ?? ''
    const answer = this.#options.onStatement?.(sql) ?? { tag: word }
    if (answer === 'silence') this.#silent = true
    else if (answer === 'hang up') this.drop()
    else if ('code' in answer) {
      this.#refuse(answer, 'ERROR')
      this.#skipToSync = !simple
      if (this.#status === 'T') this.#status = 'E'
    } else {
      this.#server.executed.push(sql)
      if (simple && answer.columns !== undefined) this.#describeRow(answer.columns)
      for (const row of answer.rows ?? []) this.#send('D', int16(row.length), ...row.map(value))
      this.#send('C', text(answer.tag))
      if (word === 'BEGIN' || word === 'START') this.#status = 'T'
      else if (word === 'COMMIT' || word === 'ROLLBACK') this.#status = 'I'
    }
    return !this.#silent
  }

  #refuse({ code, message }: Refusal, severity: string): void {
    const fields = Object.entries({ S: severity, V: severity, C: code, M: message })
    this.#send('E', ...fields.map(([field, content]) => text(field + content)), Buffer.from([0]))
  }

  #ready(): void {
    this.#send('Z', Buffer.from(this.#status))
  }

  #send(type: string, ...parts: readonly Buffer[]): void {
    const body = Buffer.concat(parts)
    this.#socket.write(Buffer.concat([Buffer.from(type), int32(body.length + 4), body]))
  }
}

function int16(number: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(number)
  return bytes
}

function int32(number: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(number)
  return bytes
}

function text(string: string): Buffer {
  return Buffer.from(`${string}\0`)
}

function value(string: string | null): Buffer {
  if (string === null) return int32(-1)
  const bytes = Buffer.from(string)
  return Buffer.concat([int32(bytes.length), bytes])
}
