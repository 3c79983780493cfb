/** Stands in for the socket that pg-copy-streams reads and writes: COPY data, with backpressure, and nothing else. */
import { EventEmitter } from 'node:events'

/** The socket behind it, for as long as the COPY runs. */
export interface RealSocket {
  write(chunk: Uint8Array): boolean
  pause(): void
  resume(): void
  on(event: 'drain', listener: () => void): void
  off(event: 'drain', listener: () => void): void
  destroy(): void
}

/** Tags of the messages that COPY data travels in (PostgreSQL manual, 54.7). */
const COPY_DATA = 0x64
const COPY_DONE = 0x63
const HEADER_BYTES = 5
/** Waiting for the reader: more than this pauses the real socket. */
const MOST_WAITING_BYTES = 256 * 1024
/** Unwanted rows are read and dropped up to here; beyond, closing the connection is quicker. */
const MOST_DISCARDED_BYTES = 1024 * 1024

/** Nothing but CopyData and CopyDone passes, whatever is written to it. */
export class CopySocket extends EventEmitter {
  #real: RealSocket | undefined
  #onDone: (() => void) | undefined
  readonly #drain = (): void => void this.emit('drain')
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #told = false
  #discarded: number | undefined
  /** Bytes of the message being written that are still to come. */
  #owed = 0

  constructor() {
    super()
    // pg-copy-streams expects node-postgres' parser here, takes it off, and puts it back at the end.
    this.on('data', () => undefined)
  }

  /** @param onDone called after CopyDone was written. */
  open(real: RealSocket, onDone: () => void): void {
    this.#real = real
    this.#onDone = onDone
    real.on('drain', this.#drain)
  }

  /** From now on nothing is sent, and whoever waits for room is forgotten: its COPY is over. */
  shut(): void {
    this.#real?.off('drain', this.#drain)
    // The next one on this connection must hear its answers.
    this.#real?.resume()
    this.#real = undefined
    this.removeAllListeners('drain')
  }

  write(chunk: Buffer): boolean {
    if (this.#real === undefined || chunk.length === 0) return true
    const done = this.#follow(chunk)
    const room = this.#real.write(chunk)
    if (done) this.#onDone?.()
    return room
  }

  /** Everything that arrived since the last call, as messages. */
  read(): Buffer | null {
    if (this.#waiting.length === 0) return null
    const all = Buffer.concat(this.#waiting)
    if (this.#waitingBytes > MOST_WAITING_BYTES) this.#real?.resume()
    this.#waiting = []
    this.#waitingBytes = 0
    return all
  }

  /** A row from the server. */
  feed(data: Uint8Array): void {
    if (this.#discarded !== undefined) {
      this.#discarded += data.length
      if (this.#discarded > MOST_DISCARDED_BYTES) this.#real?.destroy()
      return
    }
    // Copied: the parser that `data` comes from uses its memory again.
    this.#push(message(COPY_DATA, data))
    if (this.#waitingBytes > MOST_WAITING_BYTES) this.#real?.pause()
  }

  /** The server has sent everything. */
  feedEnd(): void {
    this.#push(message(COPY_DONE, new Uint8Array()))
  }

  /** The reader has gone: what still comes is dropped, and where it is much, the connection is closed. */
  discard(): void {
    this.#discarded ??= 0
    this.#waiting = []
    this.#waitingBytes = 0
    this.#real?.resume()
  }

  cork(): void {}
  uncork(): void {}
  // The reader pauses the socket before it takes over; its own reading is what sets the pace here.
  pause(): void {}
  resume(): void {}

  #push(bytes: Buffer): void {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#told) return
    this.#told = true
    // Once for all rows that came together.
    process.nextTick(() => {
      this.#told = false
      this.emit('readable')
    })
  }

  /** Keeps to message boundaries, so that data is never taken for a message. True after CopyDone. */
  #follow(chunk: Buffer): boolean {
    if (this.#owed > 0) {
      this.#owed -= chunk.length
      return false
    }
    const tag = chunk[0]
    if (chunk.length < HEADER_BYTES || (tag !== COPY_DATA && tag !== COPY_DONE)) {
      throw new TypeError('only COPY data can be written to this stream')
    }
    this.#owed = chunk.readUInt32BE(1) + 1 - chunk.length
    return tag === COPY_DONE
  }
}

function message(tag: number, body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + body.length)
  bytes[0] = tag
  bytes.writeUInt32BE(HEADER_BYTES - 1 + body.length, 1)
  bytes.set(body, HEADER_BYTES)
  return bytes
}
