import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addDays, daysBetween, formatDate, isoWeek, parseDate } from './calendar.ts';

test('a date is read and written unchanged', () => {
  for (const text of ['1970-01-01', '2000-02-29', '2026-12-31']) {
    assert.equal(formatDate(parseDate(text)), text);
  }
});

test('what is no date is refused by name', () => {
  assert.throws(() => parseDate('2026-02-30'), /there is no 2026-02-30/);
  assert.throws(() => parseDate('yesterday'), /not a date/);
});

test('days are added over month, year and leap day', () => {
  assert.equal(formatDate(addDays(parseDate('2024-02-28'), 2)), '2024-03-01');
  assert.equal(formatDate(addDays(parseDate('2026-12-31'), 1)), '2027-01-01');
  assert.equal(daysBetween(parseDate('2026-01-01'), parseDate('2027-01-01')), 365);
});

test('a change of clocks does not shift a date', () => {
  for (let day = 0; day < 366; day += 1) {
    const date = addDays(parseDate('2026-01-01'), day);
    assert.equal(daysBetween(parseDate('2026-01-01'), date), day);
  }
});

test('weeks follow ISO 8601 at both ends of a year', () => {
  assert.deepEqual(isoWeek(parseDate('2026-12-31')), { year: 2026, week: 53 });
  assert.deepEqual(isoWeek(parseDate('2027-01-01')), { year: 2026, week: 53 });
  assert.deepEqual(isoWeek(parseDate('2027-01-04')), { year: 2027, week: 1 });
});
