/**
 * Arrays and composite values whose parts `decode` of a custom type reads as null although PostgreSQL stores a text. Each value
 * remembers the text that it was read from or written as, so that such parts keep their texts when others change, also in a copy
 * that `merge` makes, and in an element of an array that changes its place.
 */
import type { Codec } from './codec.js'

/** The codec, with a memory if parts of its values may be read as null. */
export function withTexts<Value>(codec: Codec<Value>): Codec<Value> {
  if (codec.encodeOver === undefined) return codec
  const texts = new WeakMap<object, string>()
  const remember = (value: unknown, text: string): void => {
    if (typeof value === 'object' && value !== null) texts.set(value, text)
  }
  const encodeOver = (value: Value, stored: string | undefined): string => {
    const before = texts.get(value as object) ?? stored
    const text = before === undefined ? codec.encode(value) : (codec.encodeOver?.(value, before) ?? '')
    remember(value, text)
    return text
  }
  return {
    ...codec,
    decode(text) {
      const value = codec.decode(text)
      remember(value, text)
      return value
    },
    encode: (value) => encodeOver(value, undefined),
    encodeOver,
  }
}
