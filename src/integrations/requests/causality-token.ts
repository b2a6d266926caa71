/**
 * Passes on what a request has written: its causality token comes with the request, and goes back with the answer, by a header (from
 * service to service) or a cookie (to browsers). A forged token costs a read of the primary, and is never an error.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { InvalidOptionError } from '../../index.js'

/** How the causality token of a request travels. */
export type CausalityCarrier = 'header' | 'cookie'

const HEADER = 'x-causality-token'
const COOKIE = 'causality_token'
/** Replicas that are later are not read from for long anyway. */
const COOKIE_SECONDS = 60
const FROM_COOKIE = new RegExp(`(?:^|;\\s*)${COOKIE}=([\\w-]{0,100})(?:;|$)`)

/** @throws InvalidOptionError */
export function checkCarrier(carrier: unknown): CausalityCarrier | undefined {
  if (carrier === undefined || carrier === 'header' || carrier === 'cookie') return carrier
  throw new InvalidOptionError('causality', "causality must be 'header' or 'cookie'")
}

/** The token of a request, if it has one. */
export function incomingToken(
  carrier: CausalityCarrier | undefined,
  headers: Headers | IncomingHttpHeaders,
): string | undefined {
  if (carrier === undefined) return undefined
  const name = carrier === 'header' ? HEADER : 'cookie'
  const value = headers instanceof Headers ? headers.get(name) : headers[name]
  if (typeof value !== 'string') return undefined
  return carrier === 'header' ? value : FROM_COOKIE.exec(value)?.[1]
}

/** The header of the answer. */
export function outgoingToken(
  carrier: CausalityCarrier,
  token: string,
): readonly [name: string, value: string] {
  if (carrier === 'header') return [HEADER, token]
  return ['set-cookie', `${COOKIE}=${token}; Path=/; Max-Age=${COOKIE_SECONDS}; HttpOnly; SameSite=Lax`]
}
