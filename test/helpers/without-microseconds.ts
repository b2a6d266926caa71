/**
 * The text with its times cut to milliseconds, in the spelling of PostgreSQL, which ends a fraction with a digit that is not 0:
 * `12:00:00.630999` and `12:00:00.63` are both `12:00:00.63`. A Date holds no microseconds, so a row that was stored anew
 * compares equal only in this form.
 *
 * @internal
 */
export function withoutMicroseconds(text: string): string {
  return text.replaceAll(/(\d\d:\d\d:\d\d)\.(\d+)/g, (_, time: string, fraction: string) => {
    const millis = fraction.slice(0, 3).replace(/0+$/, '')
    return millis === '' ? time : `${time}.${millis}`
  })
}
