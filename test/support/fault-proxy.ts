/** A proxy in front of PostgreSQL that breaks connections in the ways in which networks and servers do. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

/** How a connection ends: FIN, as a process that exits in order, or RST, as one that is gone. */
export type Cut = 'close' | 'reset'

/** What happens to CancelRequests: passed on at once or after some milliseconds, lost, or never answered. */
export type CancelFault = 'pass' | 'lose' | 'silent' | (() => number)

/** The code in place of a protocol version that makes a first message a CancelRequest (manual, 54.7). */
const CANCEL_REQUEST = 80_877_102

/** Cuts a stream into the messages of the protocol. */
class MessageReader {
  /** A client's first message has no tag. */
  #tagged: boolean
  #rest = Buffer.alloc(0)

  constructor(tagged: boolean) {
    this.#tagged = tagged
  }

  read(chunk: Buffer): Buffer[] {
    this.#rest = Buffer.concat([this.#rest, chunk])
    const messages: Buffer[] = []
    for (;;) {
      const at = this.#tagged ? 1 : 0
      if (this.#rest.length < at + 4) return messages
      const end = at + this.#rest.readUInt32BE(at)
      if (this.#rest.length < end) return messages
      messages.push(this.#rest.subarray(0, end))
      this.#rest = this.#rest.subarray(end)
      this.#tagged = true
    }
  }
}

interface StatementFault {
  readonly text: RegExp
  readonly when: 'before' | 'after'
  readonly fault: (connection: ProxiedConnection) => void
}

/** One connection through the proxy, with a switch for each fault. */
export class ProxiedConnection {
  readonly #client: Socket
  readonly #server: Socket
  readonly #fromServer = new MessageReader(true)
  /** Texts of the client's named statements, so that a Bind tells what it runs. */
  readonly #texts = new Map<string, string>()
  #silent = false
  #held: Buffer[] | undefined
  #delayMs = 0
  #answer: { left: number; readonly cut: Cut } | undefined
  #statementFault: StatementFault | undefined
  /** The statement of an 'after' fault: it is being sent, or its answer is withheld until the server is done. */
  #stage: 'sending' | 'answering' | undefined

  constructor(client: Socket, server: Socket) {
    this.#client = client
    this.#server = server
    server.on('data', (chunk) => this.#answered(chunk))
    // In silence neither side learns that the other has gone, as where a network is parted.
    client.on('close', () => this.#silent || server.end())
    server.on('close', () => this.#silent || client.end())
  }

  /** Whether the client's side is open. */
  get open(): boolean {
    return !this.#client.destroyed
  }

  /** Nothing passes any more in either direction, and nobody is told. */
  silence(): void {
    this.#silent = true
  }

  /** The server's side is gone; the client's stays open and is told nothing. */
  loseServer(): void {
    this.#silent = true
    this.#server.destroy()
  }

  /** RST to both sides. */
  reset(): void {
    this.#client.resetAndDestroy()
    this.#server.resetAndDestroy()
  }

  /** Answers are kept back from now on, until `letGo`. */
  hold(): void {
    this.#held ??= []
  }

  letGo(): void {
    for (const chunk of this.#held?.splice(0) ?? []) this.#client.write(chunk)
    this.#held = undefined
  }

  /** Each chunk takes this long, in both directions. */
  slow(ms: number): void {
    this.#delayMs = ms
  }

  /** Passes so many bytes of what the server says from now on, and cuts. */
  cutAnswerAfter(bytes: number, cut: Cut): void {
    this.#answer = { left: bytes, cut }
  }

  /**
   * When a statement with such a text comes: `before`, the server never sees it; `after`, the server has done all of
   * it, and its answer is lost.
   */
  onStatement(
    text: RegExp,
    when: 'before' | 'after',
    fault: (connection: ProxiedConnection) => void = (connection) => connection.reset(),
  ): void {
    this.#statementFault = { text, when, fault }
  }

  /** A message from the client. */
  sent(message: Buffer): void {
    const tag = String.fromCharCode(message[0] ?? 0)
    const fault = this.#statementFault
    if (fault !== undefined && fault.text.test(this.#textOf(tag, message))) {
      this.#statementFault = undefined
      if (fault.when === 'before') {
        // Silence, or the rest of this flight would still pass.
        this.#silent = true
        fault.fault(this)
        return
      }
      this.#stage = 'sending'
      this.hold()
      this.#whenDone = () => fault.fault(this)
    }
    this.#pass(this.#server, message)
    if (this.#stage === 'sending' && (tag === 'S' || tag === 'Q')) this.#stage = 'answering'
  }
  #whenDone: (() => void) | undefined

  #textOf(tag: string, message: Buffer): string {
    const [first = '', second = ''] = message.toString('utf8', 5).split('\0', 2)
    if (tag === 'P') {
      this.#texts.set(first, second)
      return second
    }
    if (tag === 'B') return this.#texts.get(second) ?? ''
    return tag === 'Q' ? first : ''
  }

  #answered(chunk: Buffer): void {
    const messages = this.#fromServer.read(chunk)
    if (this.#stage === 'answering' && messages.some((message) => message[0] === 0x5a /* ReadyForQuery */)) {
      this.#stage = undefined
      this.#whenDone?.()
      return
    }
    const answer = this.#answer
    if (this.#held !== undefined) this.#held.push(chunk)
    else if (answer === undefined || chunk.length <= answer.left) {
      if (answer !== undefined) answer.left -= chunk.length
      this.#pass(this.#client, chunk)
    } else {
      this.#answer = undefined
      this.#pass(this.#client, chunk.subarray(0, answer.left))
      this.#silent = true
      this.#server.destroy()
      if (answer.cut === 'close') this.#client.end()
      // What was written before must be out, or the reset would overtake it.
      else setImmediate(() => this.#client.resetAndDestroy())
    }
  }

  #pass(to: Socket, data: Buffer): void {
    if (this.#silent) return
    if (this.#delayMs === 0) to.write(data)
    else setTimeout(() => this.#silent || to.destroyed || to.write(data), this.#delayMs)
  }
}

/** Start it with `startFaultProxy`, and close it in any case. */
export class FaultProxy {
  /** The URL to connect to instead of the server's. */
  readonly url: string
  /** CancelRequests seen so far. */
  cancels = 0
  onCancel: CancelFault = 'pass'
  readonly #listener: Server
  readonly #port: number
  readonly #sockets = new Set<Socket>()
  #connections: ProxiedConnection[] = []
  #accepted = 0
  #target: URL
  #arrival: ((connection: ProxiedConnection) => void) | undefined

  constructor(listener: Server, url: string) {
    this.#listener = listener
    this.#target = new URL(url)
    this.#port = (listener.address() as AddressInfo).port
    this.url = Object.assign(new URL(url), { port: String(this.#port) }).href
    listener.on('connection', (client) => this.#accept(client))
  }

  /** Connections that were asked for so far, CancelRequests left out. */
  get attempts(): number {
    return this.#accepted - this.cancels
  }

  /** Those whose client's side is open. */
  get connections(): readonly ProxiedConnection[] {
    return (this.#connections = this.#connections.filter(({ open }) => open))
  }

  /** Does something to each connection there is. */
  all(fault: (connection: ProxiedConnection) => void): void {
    for (const connection of this.connections) fault(connection)
  }

  /** Does something to each connection that comes from now on; nothing where it is left out. */
  arriving(fault?: (connection: ProxiedConnection) => void): void {
    this.#arrival = fault
  }

  /** Later connections go to another server. */
  failOver(url: string): void {
    this.#target = new URL(url)
  }

  /** Stops listening: ECONNREFUSED. Connections that exist stay. */
  async refuse(): Promise<void> {
    this.#listener.close()
    // The callback of close() would wait for every connection to end.
    await new Promise(setImmediate)
  }

  /** Listens again, on the same port. */
  async accept(): Promise<void> {
    await new Promise<void>((resolve) => this.#listener.listen(this.#port, '127.0.0.1', resolve))
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#listener.close(resolve))
  }

  #accept(client: Socket): void {
    this.#accepted += 1
    const server = connect(Number(this.#target.port), this.#target.hostname)
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      // Messages are passed on one by one; without this each would wait for the one before to be acknowledged.
      socket.setNoDelay()
      socket.on('error', () => socket.destroy())
      socket.on('close', () => this.#sockets.delete(socket))
    }
    const reader = new MessageReader(false)
    let connection: ProxiedConnection | undefined
    let isCancel = false
    client.on('data', (chunk) => {
      for (const message of reader.read(chunk)) {
        if (connection !== undefined) connection.sent(message)
        else if (message.readUInt32BE(4) === CANCEL_REQUEST) {
          // What is under way cannot be called back: it goes on even if its sender gives up.
          isCancel = true
          this.#cancel(client, server, message)
        } else {
          connection = new ProxiedConnection(client, server)
          this.#connections.push(connection)
          this.#arrival?.(connection)
          connection.sent(message)
        }
      }
    })
    client.on('close', () => connection ?? (isCancel || server.end()))
  }

  #cancel(client: Socket, server: Socket, message: Buffer): void {
    this.cancels += 1
    const fault = this.onCancel
    if (fault === 'silent') return
    server.on('close', () => client.end())
    if (fault === 'lose') client.end()
    else setTimeout(() => server.write(message), fault === 'pass' ? 0 : fault())
  }
}

/** @param url of the server behind. */
export async function startFaultProxy(url: string): Promise<FaultProxy> {
  const listener = createServer()
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  return new FaultProxy(listener, url)
}
