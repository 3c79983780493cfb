/** The form of API keys' secrets: recognisable, long enough to need no slow hash, and with a checksum. */
import { hash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** A new secret, and what may be kept of it. */
export interface NewSecret {
  /** `tny_` with 43 random characters and 6 of checksum. Shown once, kept nowhere. */
  readonly secret: string
  /** The beginning of it, by which people tell keys apart. */
  readonly prefix: string
  /** SHA-256 of it, in hexadecimal digits. */
  readonly hash: string
}

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
/** 256 bits in base 62, and 32. */
const RANDOM_LENGTH = 43
const CHECKSUM_LENGTH = 6
/** Random characters that people may see: 48 of 256 bits. */
const VISIBLE = 8

const PREFIX = /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/
const LONGEST_PREFIX = 20
const SECRET = /^[a-z][a-z0-9]*(?:_[a-z0-9]+)*_[0-9A-Za-z]{49}$/
const LONGEST_SECRET = LONGEST_PREFIX + 1 + RANDOM_LENGTH + CHECKSUM_LENGTH

/** Why secrets cannot begin with this, or `undefined` where they can. */
export function prefixProblem(prefix: unknown): string | undefined {
  return typeof prefix === 'string' && prefix.length <= LONGEST_PREFIX && PREFIX.test(prefix)
    ? undefined
    : `is not a-z and 0-9, in words with _ between, at most ${LONGEST_PREFIX} characters`
}

/**
 * Makes a secret of 256 random bits. No letter of it ends a word, so that a double click takes all of it; prefix and
 * checksum let scanners of repositories know it for what it is, without a false alarm.
 */
export function makeSecret(prefix: string): NewSecret {
  const random = randomDigits()
  const text = `${prefix}_${random}`
  const secret = text + checksumOf(text)
  return { secret, prefix: text.slice(0, prefix.length + 1 + VISIBLE), hash: hash('sha256', secret) }
}

/** The hash of a secret; `undefined` for what cannot be one: too long, of another form, mistyped. Needs no look-up. */
export function hashOfSecret(secret: unknown): string | undefined {
  if (typeof secret !== 'string' || secret.length > LONGEST_SECRET || !SECRET.test(secret)) return
  const text = secret.slice(0, -CHECKSUM_LENGTH)
  return secret === text + checksumOf(text) ? hash('sha256', secret) : undefined
}

function randomDigits(): string {
  let digits = ''
  for (
    let rest = BigInt(`0x${randomBytes(32).toString('hex')}`);
    digits.length < RANDOM_LENGTH;
    rest /= 62n
  ) {
    digits = (DIGITS[Number(rest % 62n)] as string) + digits
  }
  return digits
}

/** Made anew for every request that brings a key: of small numbers, which cost nothing beside the hash. */
function checksumOf(text: string): string {
  let digits = ''
  for (let rest = crc32(text); digits.length < CHECKSUM_LENGTH; rest = Math.floor(rest / 62)) {
    digits = (DIGITS[rest % 62] as string) + digits
  }
  return digits
}
