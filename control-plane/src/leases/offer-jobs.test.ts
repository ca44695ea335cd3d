import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driverWishes } from './offer-jobs.ts';

test('auto is met by a driver that isolates and works, never by process', () => {
  const drivers = (...names: [string, boolean][]) =>
    driverWishes(names.map(([name, works]) => ({ name, works })));
  assert.deepEqual(drivers(['process', true]), ['process']);
  assert.deepEqual(drivers(['process', true], ['qemu', false]), ['process']);
  assert.deepEqual(drivers(['qemu', true]), ['qemu', 'auto']);
});
