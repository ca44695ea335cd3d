/**
 * Calendar dates without a time of day, as ISO 8601 writes them. All arithmetic is on days since
 * 1970-01-01, so no time zone and no change of clocks can shift a date.
 */
export type CalendarDate = { year: number; month: number; day: number };

const DAY_MS = 86_400_000;

/** Reads `YYYY-MM-DD`; throws RangeError when it is no date of the Gregorian calendar. */
export function parseDate(text: string): CalendarDate {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  const [year, month, day] = (match ?? []).slice(1).map(Number);
  if (year === undefined || month === undefined || day === undefined) {
    throw new RangeError(`"${text}" is not a date like 2026-02-28`);
  }
  const date = { year, month, day };
  if (formatDate(fromDayNumber(dayNumber(date))) !== text) {
    throw new RangeError(`there is no ${text}`);
  }
  return date;
}

export function formatDate({ year, month, day }: CalendarDate): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`;
}

/** Days since 1970-01-01. */
export const dayNumber = ({ year, month, day }: CalendarDate): number =>
  Date.UTC(year, month - 1, day) / DAY_MS;

function fromDayNumber(days: number): CalendarDate {
  const date = new Date(days * DAY_MS);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

export const addDays = (date: CalendarDate, days: number): CalendarDate =>
  fromDayNumber(dayNumber(date) + days);

export const daysBetween = (from: CalendarDate, to: CalendarDate): number =>
  dayNumber(to) - dayNumber(from);

/** ISO 8601 week: the one with the year's first Thursday is week 1. */
export function isoWeek(date: CalendarDate): { year: number; week: number } {
  const weekday = (dayNumber(date) + 3) % 7; // Monday is 0; 1970-01-01 was a Thursday
  const thursday = addDays(date, 3 - weekday);
  const firstOfYear = dayNumber({ year: thursday.year, month: 1, day: 1 });
  return { year: thursday.year, week: Math.floor((dayNumber(thursday) - firstOfYear) / 7) + 1 };
}
