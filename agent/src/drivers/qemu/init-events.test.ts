import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { INIT_LINE_BYTES, SHOWN_OUTPUT_CHARACTERS } from './config.ts';
import { InitEventReader, shownOutput } from './init-events.ts';

const HONEST = [
  { event: 'kernel', uptimeMs: 812 },
  { event: 'runner_started', uptimeMs: 1100 },
  { event: 'oom_kill', count: 2 },
  { event: 'runner_exited', status: null, signal: 9, oomKills: 2, output: 'gone' },
];
const TEXT = HONEST.map((event) => `${JSON.stringify(event)}\n`).join('');

test('events come whole, however the port cuts their bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 })), (sizes) => {
      const reader = new InitEventReader();
      const events = [];
      const bytes = Buffer.from(TEXT);
      let at = 0;
      for (const size of [...sizes, bytes.length]) {
        events.push(...reader.push(bytes.subarray(at, at + size)));
        at += size;
      }
      assert.deepEqual(events, HONEST);
    }),
  );
});

test('whatever a hostile guest writes, the reader neither throws nor loses the next line', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => Buffer.from(text)),
        ),
      ),
      (junk) => {
        const reader = new InitEventReader();
        for (const bytes of junk) reader.push(Buffer.from(bytes));
        const events = reader.push(Buffer.from(`\n${TEXT}`));
        assert.deepEqual(events.slice(-HONEST.length), HONEST);
      },
    ),
  );
});

test('a line longer than any honest one is skipped whole and not kept', () => {
  const reader = new InitEventReader();
  const part = Buffer.alloc(INIT_LINE_BYTES, 'x');
  for (let i = 0; i < 100; i++) assert.deepEqual(reader.push(part), []);
  assert.deepEqual(reader.push(Buffer.from(`\n${TEXT}`)), HONEST);
});

test('numbers that are none, events nobody knows and wrong types mean nothing', () => {
  const reader = new InitEventReader();
  const lines = ['null', '[]', '{"event":"reboot"}', '{"event":"oom_kill","count":-3}'];
  lines.push('{"event":"runner_exited","status":1.5,"signal":"9","output":7}');
  assert.deepEqual(reader.push(Buffer.from(`${lines.join('\n')}\n`)), [
    { event: 'oom_kill', count: 0 },
    { event: 'runner_exited', status: null, signal: null, oomKills: 0, output: '' },
  ]);
});

test('shown output is the end of the text, without terminal controls', () => {
  const shown = shownOutput(`${'a'.repeat(SHOWN_OUTPUT_CHARACTERS)}\x1b[2Jend\u009b1m\nlast\n`);
  assert.match(shown, /a\?\[2Jend\?1m\nlast$/);
  assert.ok(shown.length <= SHOWN_OUTPUT_CHARACTERS);
});
