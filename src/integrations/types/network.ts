/** Network addresses and MAC addresses, as text. */
import type { Column } from '../../index.js'
import { asIs, columnOf, encodeText } from './text-column.js'

/**
 * An address with or without its network: `'10.0.0.1'`, `'10.0.0.1/8'`, `'2001:db8::1'`. Two spellings of one address are no change.
 * In a WHERE: {@link contains} and {@link containedBy} (`>>=`, `<<=`), {@link overlaps}.
 */
export function inet(name?: string): Column<string | null> {
  return columnOf(name, { ddl: 'inet', decode: asIs, encode: encodeText, normal: normalAddress })
}

/** A network: `'10.0.0.0/8'`. Otherwise as {@link inet}. */
export function cidr(name?: string): Column<string | null> {
  return columnOf(name, { ddl: 'cidr', decode: asIs, encode: encodeText, normal: normalAddress })
}

/** The address of a network card, `'08:00:2b:01:02:03'`, in any of the spellings that PostgreSQL reads. */
export function macaddr(name?: string): Column<string | null> {
  return columnOf(name, { ddl: 'macaddr', decode: asIs, encode: encodeText, normal: normalCard })
}

/** As {@link macaddr}, of 8 bytes. */
export function macaddr8(name?: string): Column<string | null> {
  return columnOf(name, { ddl: 'macaddr8', decode: asIs, encode: encodeText, normal: normalCard8 })
}

/** All eight groups of IPv6, all numbers without zeros in front, no netmask that says nothing; what is no address stays as it is. */
function normalAddress(text: string): string {
  const [address = '', bits, ...rest] = text.trim().toLowerCase().split('/')
  if (rest.length > 0 || (bits !== undefined && !/^\d{1,3}$/.test(bits))) return text
  const four = normalFour(address)
  const whole = four ?? normalSix(address)
  if (whole === undefined) return text
  const most = four === undefined ? 128 : 32
  return bits === undefined || Number(bits) === most ? whole : `${whole}/${Number(bits)}`
}

function normalFour(address: string): string | undefined {
  const parts = address.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part))) return undefined
  return parts.map(Number).join('.')
}

function normalSix(address: string): string | undefined {
  const last = address.slice(address.lastIndexOf(':') + 1)
  const four = normalFour(last)?.split('.').map(Number)
  const written =
    four === undefined
      ? address
      : `${address.slice(0, -last.length)}${hex(four[0], four[1])}:${hex(four[2], four[3])}`
  const halves = written.split('::')
  if (halves.length > 2) return undefined
  const [front = [], back = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const missing = 8 - front.length - back.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const groups = [...front, ...Array<string>(missing).fill('0'), ...back]
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return undefined
  return groups.map((group) => group.replace(/^0+(?=.)/, '')).join(':')
}

function hex(high = 0, low = 0): string {
  return (high * 256 + low).toString(16)
}

/** The hexadecimal digits alone. */
function normalCard(text: string): string {
  const trimmed = text.trim().toLowerCase()
  const groups = trimmed.split(/[:-]/)
  const digits = (
    groups.length > 2 ? groups.map((group) => group.padStart(2, '0')).join('') : trimmed
  ).replaceAll(/[:.-]/g, '')
  return /^[0-9a-f]+$/.test(digits) ? digits : text
}

/** Six bytes are expanded to eight with `fffe` in the middle. */
function normalCard8(text: string): string {
  const digits = normalCard(text)
  return digits.length === 12 ? `${digits.slice(0, 6)}fffe${digits.slice(6)}` : digits
}
