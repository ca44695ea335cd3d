/** The log's offset rules as properties, against a control plane that acknowledges as it likes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LogRow } from '@onejob/protocol';
import { LOG_MESSAGE_BYTES, LOG_ROWS_PER_MESSAGE, LOG_WINDOW_BYTES } from '@onejob/protocol/limits';
import { LogRelay } from './log-relay.ts';

const row = (text: string): LogRow => ({ step: 0, atMs: 1, text });
const plain = { push: (one: LogRow): LogRow[] => [one], flush: (): LogRow[] => [] };

/** A log that takes the first `taken(n)` of the nth call's rows. */
function durableLog(taken: (call: number, offered: number) => number) {
  const rows: LogRow[] = [];
  let calls = 0;
  const append = async (offset: number, batch: LogRow[]): Promise<number> => {
    await Promise.resolve();
    assert.ok(offset <= rows.length, `a gap: rows from ${offset} after ${rows.length}`);
    assert.ok(batch.length <= LOG_ROWS_PER_MESSAGE);
    const fresh = batch.slice(rows.length - offset);
    rows.push(...fresh.slice(0, Math.max(1, taken(calls++, fresh.length))));
    return rows.length;
  };
  return { rows, append };
}

test('whatever is repeated, overlaps or is acknowledged in part, every row arrives once, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(20), fc.nat(20), fc.boolean()), { maxLength: 30 }),
      fc.infiniteStream(fc.nat(10)),
      async (sends, taken) => {
        const log = durableLog(() => taken.next().value ?? 1);
        const relay = new LogRelay(log.append, plain);
        const acks: number[] = [];
        let sent = 0;
        for (const [back, more, pause] of sends) {
          const offset = Math.max(0, sent - back);
          const end = sent + more;
          const rows = Array.from({ length: end - offset }, (_, at) => row(`row ${offset + at}`));
          relay.accept({ offset, rows }, ({ ack }) => acks.push(ack));
          sent = end;
          if (pause) await Promise.resolve();
        }
        relay.accept({ total: sent }, ({ ack }) => acks.push(ack));
        await relay.drained();
        assert.deepEqual(
          log.rows.map((one) => one.text),
          Array.from({ length: sent }, (_, at) => `row ${at}`),
        );
        assert.equal(relay.total, sent);
        assert.equal(acks.at(-1), sent, 'the last acknowledgement is for all');
        assert.deepEqual(
          acks,
          acks.toSorted((a, b) => a - b),
          'acknowledgements never go back',
        );
        assert.equal(relay.unwanted, 0);
      },
    ),
    { numRuns: 300 },
  );
});

test('nothing is acknowledged before it is durable', async () => {
  const durable = Promise.withResolvers<number>();
  const acks: number[] = [];
  const relay = new LogRelay(async () => await durable.promise, plain);
  relay.accept({ offset: 0, rows: [row('a'), row('b')] }, ({ ack }) => acks.push(ack));
  relay.accept({ total: 2 }, ({ ack }) => acks.push(ack));
  await Promise.resolve();
  assert.deepEqual(acks, []);
  durable.resolve(2);
  await relay.drained();
  assert.deepEqual(acks, [2]);
});

test('repeats of what is durable are acknowledged again, for a guest that lost the answer', async () => {
  const log = durableLog((_, offered) => offered);
  const relay = new LogRelay(log.append, plain);
  const acks: number[] = [];
  const batch = { offset: 0, rows: [row('a'), row('b')] };
  relay.accept(batch, ({ ack }) => acks.push(ack));
  await relay.drained();
  relay.accept(batch, ({ ack }) => acks.push(ack));
  await relay.drained();
  assert.deepEqual(acks, [2, 2]);
  assert.equal(log.rows.length, 2);
});

test('a gap, a wrong total, a second total, and rows after the total break the protocol', () => {
  const fresh = (): LogRelay => {
    const relay = new LogRelay(async () => await new Promise(() => {}), plain);
    relay.accept({ offset: 0, rows: [row('a')] }, () => {});
    return relay;
  };
  const ended = fresh();
  ended.accept({ total: 1 }, () => {});
  const offences = [
    () => fresh().accept({ offset: 2, rows: [] }, () => {}),
    () => fresh().accept({ total: 0 }, () => {}),
    () => fresh().accept({ total: 2 }, () => {}),
    () => ended.accept({ total: 1 }, () => {}),
    () => ended.accept({ offset: 1, rows: [row('b')] }, () => {}),
    () => ended.accept({ offset: 0, rows: [row('a')] }, () => {}),
  ];
  for (const offend of offences) assert.throws(offend, { code: 'guest_protocol' });
});

test('a guest that does not wait for acknowledgements is stopped, with text or without', () => {
  for (const text of ['x'.repeat(16_384), '']) {
    const relay = new LogRelay(async () => await new Promise(() => {}), plain);
    let sent = 0;
    const flood = (): void => {
      for (; sent < 1_000_000; sent += 200) {
        relay.accept(
          { offset: sent, rows: Array.from({ length: 200 }, () => row(text)) },
          () => {},
        );
      }
    };
    assert.throws(flood, { code: 'guest_protocol', message: /floods/ });
    assert.ok(sent * (text.length + 16) <= 3 * LOG_WINDOW_BYTES + 200 * 16_384);
  }
});

test('an honest full window of rows that masking triples is no flood', async () => {
  const log = durableLog((_, offered) => offered);
  const relay = new LogRelay(log.append, {
    ...plain,
    push: (one) => [{ ...one, text: one.text.replaceAll('a', '***') }],
  });
  const text = 'a'.repeat(10_000);
  const rows = Array.from({ length: Math.floor(LOG_WINDOW_BYTES / 10_000) }, () => row(text));
  relay.accept({ offset: 0, rows }, () => {});
  await relay.drained();
  assert.equal(log.rows[0]?.text, '*'.repeat(30_000));
  assert.equal(log.rows.length, rows.length);
});

test('calls are bounded in bytes, however large the rows are', async () => {
  const sizes: number[] = [];
  const relay = new LogRelay(async (offset, rows) => {
    sizes.push(rows.reduce((sum, one) => sum + one.text.length, 0));
    return await Promise.resolve(offset + rows.length);
  }, plain);
  relay.accept(
    { offset: 0, rows: Array.from({ length: 100 }, () => row('x'.repeat(16_384))) },
    () => {},
  );
  await relay.drained();
  assert.ok(sizes.length > 1 && sizes.every((size) => size <= LOG_MESSAGE_BYTES + 16_384));
});

test('rows that are wanted no more are let go and counted, not sent for ever', async () => {
  let calls = 0;
  const relay = new LogRelay(async (offset) => {
    calls += 1;
    return await Promise.resolve(offset);
  }, plain);
  relay.accept({ offset: 0, rows: [row('a'), row('b')] }, () => {});
  await relay.drained();
  assert.equal(calls, 1);
  assert.equal(relay.unwanted, 2);
});
