import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytes, duration } from './time.ts';

test('durations have the unit that fits', () => {
  const said = [0, 449, 59_940, 59_960, 60_000, 125_000, 3_599_600, 3_600_000, 7_380_000].map(
    duration,
  );
  assert.deepEqual(said, [
    '0.0s',
    '0.4s',
    '59.9s',
    '59.9s',
    '1m 00s',
    '2m 05s',
    '59m 59s',
    '1h 00m',
    '2h 03m',
  ]);
});

test('sizes have the unit that fits', () => {
  assert.deepEqual(
    [0, 940, 1024, 12_595, 1024 ** 2 - 1, 1024 ** 3 * 1.25, 1024 ** 5 * 3].map(bytes),
    ['0 B', '940 B', '1.0 KiB', '12.3 KiB', '1024.0 KiB', '1.3 GiB', '3072.0 TiB'],
  );
});
