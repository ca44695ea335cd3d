/** Events in order, once, bounded; and masked without growing beyond the protocol's limits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { JobEvent } from '@onejob/protocol/schemas';
import { Compile } from 'typebox/compile';
import { RELAY_EVENT_BYTES, RELAY_EVENTS } from '../limits.ts';
import { EventRelay } from './event-relay.ts';
import { maskEvent } from './mask-event.ts';

const summary = (markdown: string): JobEvent => ({ type: 'summary', index: 0, markdown });

test('every event arrives once, in order, however many are acknowledged at a time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(300), fc.infiniteStream(fc.nat(60)), async (count, taken) => {
      const stored: string[] = [];
      const relay = new EventRelay(async (sequence, events) => {
        await Promise.resolve();
        assert.ok(sequence <= stored.length && events.length <= 50);
        const fresh = events.slice(stored.length - sequence);
        stored.push(...fresh.slice(0, Math.max(1, taken.next().value ?? 1)));
        return stored.length;
      });
      for (let at = 0; at < count; at++) relay.accept(summary(String(at)));
      await relay.drained();
      assert.deepEqual(
        stored.map((text) => (JSON.parse(text) as { markdown: string }).markdown),
        Array.from({ length: count }, (_, at) => String(at)),
      );
    }),
    { numRuns: 50 },
  );
});

test('more events than any job has break the protocol', () => {
  const relay = new EventRelay(async () => await new Promise(() => {}));
  for (let count = 0; count < RELAY_EVENTS; count++) relay.accept(summary(''));
  assert.throws(() => relay.accept(summary('')), { code: 'guest_protocol' });
});

test('there is no room while a control plane takes nothing, and there is when it does', async () => {
  const answer = Promise.withResolvers<void>();
  const relay = new EventRelay(async (sequence, events) => {
    await answer.promise;
    return sequence + events.length;
  });
  const large = 'x'.repeat(1024 * 1024);
  for (let sent = 0; sent <= RELAY_EVENT_BYTES; sent += large.length) relay.accept(summary(large));
  let hasRoom = false;
  const room = relay.room().then(() => {
    hasRoom = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(hasRoom, false);
  answer.resolve();
  await room;
  await relay.drained();
});

test('events that are wanted no more are let go, not sent for ever', async () => {
  let calls = 0;
  const relay = new EventRelay(async (sequence) => {
    calls += 1;
    return await Promise.resolve(sequence);
  });
  relay.accept(summary('a'));
  await relay.drained();
  assert.equal(calls, 1);
});

test('every text of an event is masked, and fits its schema although a mask is longer', () => {
  const schema = Compile(JobEvent);
  const mask = (text: string): string => text.replaceAll('s', '***');
  const events: JobEvent[] = [
    { type: 'step', index: 0, phase: 'main', status: 'running', name: 's'.repeat(4096), atMs: 1 },
    summary('s'.repeat(1024 * 1024)),
    { type: 'environment', url: 's'.repeat(2048) },
    {
      type: 'annotation',
      index: 0,
      annotation: {
        level: 'error',
        message: 's'.repeat(64 * 1024),
        title: 's'.repeat(4096),
        file: 's'.repeat(4096),
        line: 3,
      },
    },
  ];
  for (const event of events) {
    const masked = maskEvent(event, mask);
    assert.ok(schema.Check(masked), event.type);
    const texts = JSON.stringify(masked, (key, value: unknown) =>
      ['type', 'status', 'phase', 'level'].includes(key) ? '' : value,
    );
    assert.doesNotMatch(texts.replaceAll(/"[a-zA-Z]+":/g, ''), /s/, event.type);
  }
  const bare: JobEvent = {
    type: 'annotation',
    index: -1,
    annotation: { level: 'debug', message: 'm' },
  };
  assert.deepEqual(maskEvent(bare, mask), bare);
});
