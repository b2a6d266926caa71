/** Ways to spoil what a server says, drawn from a seed. */
import type { Random } from './support-random.js'

/** One way to spoil one message. */
export interface Mutation {
  readonly name: string
  /**
   * True if the reader has to notice it: then nothing wrong may be told. False where the message stays a good one with other content,
   * which no client can notice.
   */
  readonly noticeable: boolean
  /** What is sent in place of the message; `hold` = it is sent behind the next one. */
  readonly bytes: readonly Buffer[] | 'hold' | 'cut'
}

const HEADER_BYTES = 5
/** Types of messages that a server may send, and three that no server does. */
const TYPES = Buffer.from('RKSZ123tTDnCIENsAGHWdcvVy\0\xff', 'latin1')
/** They may come anywhere, and as often as they like; rows of COPY are not counted exactly, as it may have a header. */
const UNCOUNTED = new Set(['N', 'S', 'A', 'd'])

type Way = (message: Buffer, random: Random, earlier: readonly Buffer[]) => Omit<Mutation, 'name'>

const WAYS: Readonly<Record<string, readonly [weight: number, way: Way]>> = {
  'a byte of its header is another': [6, (message, random) => spoiled(message, random, 0, HEADER_BYTES)],
  'a byte of its body is another': [
    6,
    (message, random) => ({ ...spoiled(message, random, HEADER_BYTES, message.length), noticeable: false }),
  ],
  'some of its bytes are others': [
    2,
    (message, random) => {
      let bytes = message
      for (let count = 1 + below(random, 8); count > 0; count--)
        bytes = flipped(bytes, below(random, bytes.length), random)
      return { noticeable: false, bytes: [bytes] }
    },
  ],
  'its length is another': [8, (message, random) => withLength(message, lengthFor(message, random))],
  'it is left out': [6, () => ({ noticeable: true, bytes: [] })],
  'it comes twice': [6, (message) => ({ noticeable: !isUncounted(message), bytes: [message, message] })],
  'it comes behind the next one': [
    5,
    (message) => ({ noticeable: !'Dd'.includes(typeOf(message)), bytes: 'hold' }),
  ],
  'its end is missing': [
    5,
    (message, random) => ({ noticeable: true, bytes: [message.subarray(0, below(random, message.length))] }),
  ],
  'it is shorter': [
    6,
    (message, random) => {
      const body = message.subarray(HEADER_BYTES, HEADER_BYTES + below(random, message.length - HEADER_BYTES))
      return { noticeable: !isUncounted(message), bytes: [framed(message[0] as number, body)] }
    },
  ],
  'it is longer': [
    5,
    (message, random) => {
      const body = Buffer.concat([message.subarray(HEADER_BYTES), noise(random, 1 + below(random, 20))])
      return { noticeable: !isUncounted(message), bytes: [framed(message[0] as number, body)] }
    },
  ],
  'it is of another type': [
    6,
    (message, random) => {
      const bytes = Buffer.from(message)
      bytes[0] = TYPES[below(random, TYPES.length)] as number
      return { noticeable: true, bytes: [bytes] }
    },
  ],
  'one of any kind comes before it': [
    8,
    (message, random) => {
      const type = TYPES[below(random, TYPES.length)] as number
      const body = noise(random, random.next() < 0.5 ? below(random, 12) : below(random, 300))
      // Among the data of COPY it is more data of COPY.
      const isData = String.fromCharCode(type) === 'd' && 'dc'.includes(typeOf(message))
      return { noticeable: !isData, bytes: [framed(type, body), message] }
    },
  ],
  'one without a body comes before it': [
    5,
    (message, random) => {
      const type = TYPES[below(random, TYPES.length)] as number
      return { noticeable: true, bytes: [framed(type, Buffer.alloc(0)), message] }
    },
  ],
  'ReadyForQuery comes before it': [
    8,
    (message, random) => {
      const status = Buffer.from(random.one(['I', 'T', 'E']) ?? 'I')
      return { noticeable: true, bytes: [framed(0x5a, status), message] }
    },
  ],
  'an earlier one comes before it again': [
    8,
    (message, random, earlier) => {
      const again = random.one(earlier) ?? message
      // An error right before ReadyForQuery refuses what was done: of a deferred constraint it is true.
      return { noticeable: !isUncounted(again) && typeOf(again) !== 'E', bytes: [again, message] }
    },
  ],
  'noise comes before it': [
    4,
    (message, random) => ({ noticeable: true, bytes: [noise(random, 1 + below(random, 200)), message] }),
  ],
  'a long one comes before it': [
    3,
    (message, random) => {
      const type = random.one([...'ENSATCDdR']) ?? 'E'
      const claimed =
        random.one([70_000, 2_000_000, 80_000_000, 540_000_000, 1_073_741_820, 2_147_483_647]) ?? 0
      const head = Buffer.alloc(HEADER_BYTES)
      head.write(type, 'latin1')
      head.writeUInt32BE(claimed, 1)
      // What comes behind it counts as its body.
      return { noticeable: true, bytes: [head, noise(random, 70_000), message] }
    },
  ],
  'a long notice comes before it': [
    2,
    (message, random) => {
      const text = 'x'.repeat(100_000 + below(random, 400_000))
      const body = Buffer.from(`SNOTICE\0VNOTICE\0C00000\0M${text}\0\0`)
      return { noticeable: true, bytes: [framed(0x4e, body), message] }
    },
  ],
  'the connection ends before it': [3, () => ({ noticeable: true, bytes: 'cut' })],
}

/** Draws a mutation of the message. */
export function mutate(message: Buffer, random: Random, earlier: readonly Buffer[]): Mutation {
  const [name, way] = random.weighted(
    Object.entries(WAYS).map(([name, [weight, way]]) => [weight, [name, way]] as const),
  )
  return { name, ...way(message, random, earlier) }
}

/** A number from 0 up to, but not including, `limit`; 0 if there is none. */
export function below(random: Random, limit: number): number {
  return Math.floor(random.next() * Math.max(limit, 1))
}

function typeOf(message: Buffer): string {
  return String.fromCharCode(message[0] ?? 0)
}

function isUncounted(message: Buffer): boolean {
  return UNCOUNTED.has(typeOf(message))
}

function framed(type: number, body: Buffer): Buffer {
  const head = Buffer.alloc(HEADER_BYTES)
  head[0] = type
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

function withLength(message: Buffer, length: number): Omit<Mutation, 'name'> {
  const bytes = Buffer.from(message)
  bytes.writeUInt32BE(length >>> 0, 1)
  return { noticeable: true, bytes: [bytes] }
}

function lengthFor(message: Buffer, random: Random): number {
  const real = message.readUInt32BE(1)
  const near = real + 1 + below(random, 40)
  return random.one([0, 1, 3, 4, real - 1, real + 1, near, near, real * 2, 65_536, 2 ** 31, 2 ** 32 - 1]) ?? 0
}

function spoiled(message: Buffer, random: Random, start: number, end: number): Omit<Mutation, 'name'> {
  const at = start < end ? start + below(random, end - start) : 0
  return { noticeable: true, bytes: [flipped(message, at, random)] }
}

function flipped(message: Buffer, at: number, random: Random): Buffer {
  const bytes = Buffer.from(message)
  bytes[at] = (bytes[at] as number) ^ (1 + below(random, 255))
  return bytes
}

function noise(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => below(random, 256)))
}
