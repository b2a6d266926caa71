/** The days of the calendar that PostgreSQL and JavaScript count with, the Gregorian one, also before it began. */

/** The days from 1970 until a day. Leap days come last where years begin in March; four times as fast as `Date.UTC`. */
export function daysUntil(year: number, month: number, day: number): number {
  const years = month > 2 ? year : year - 1
  const leapDays = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400)
  const daysOfMonths = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5)
  return years * 365 + leapDays + daysOfMonths + day - 719_469
}
