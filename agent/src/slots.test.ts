import assert from 'node:assert/strict';
import test from 'node:test';
import { Slots } from './slots.ts';

const never = new AbortController().signal;

test('who finds no free slot waits, and turns come in the order of asking', async () => {
  const slots = new Slots(1);
  const order: string[] = [];
  const first = await slots.take(never);
  const second = slots.take(never).then((slot) => (order.push('second'), slot));
  const third = slots.take(never).then((slot) => (order.push('third'), slot));
  assert.deepEqual(order, []);
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  assert.deepEqual(order, ['second', 'third']);
});

test('who gives up waiting takes no turn away from others', async () => {
  const slots = new Slots(1);
  const first = await slots.take(never);
  const impatient = new AbortController();
  const given = assert.rejects(slots.take(impatient.signal), /enough/);
  const patient = slots.take(never);
  impatient.abort(new Error('enough'));
  await given;
  first[Symbol.dispose]();
  (await patient)[Symbol.dispose]();
});

test('a slot that is given back twice is free once', async () => {
  const slots = new Slots(1);
  const first = await slots.take(never);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  await slots.take(never);
  const late = new AbortController();
  const refused = assert.rejects(slots.take(late.signal), /no second slot/);
  late.abort(new Error('no second slot'));
  await refused;
});

test('a spare turn comes after everybody who waits, and is given up for who comes', async () => {
  const slots = new Slots(1);
  const order: string[] = [];
  const first = await slots.take(never);
  const spare = slots.takeSpare(never).then((slot) => (order.push('spare'), slot));
  const second = slots.take(never).then((slot) => (order.push('second'), slot));
  first[Symbol.dispose]();
  (await second)[Symbol.dispose]();
  const held = await spare;
  assert.deepEqual(order, ['second', 'spare']);
  assert.equal(held.revoked.aborted, false);
  const third = slots.take(never);
  assert.equal(held.revoked.aborted, true);
  held[Symbol.dispose]();
  held[Symbol.dispose]();
  (await third)[Symbol.dispose]();
});

test('one who comes ends one spare turn, the latest, and none where a slot is free', async () => {
  const slots = new Slots(3);
  const spares = [await slots.takeSpare(never), await slots.takeSpare(never)];
  await slots.take(never);
  assert.deepEqual(
    spares.map(({ revoked }) => revoked.aborted),
    [false, false],
  );
  void slots.take(never);
  assert.deepEqual(
    spares.map(({ revoked }) => revoked.aborted),
    [false, true],
  );
});
