import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { LOG_JOB_BYTES } from '@onejob/protocol';
import type { Flood } from './attack.ts';
import { floodAttacks } from './attacks/floods.ts';
import { observeFlood, tryFloods } from './floods.ts';
import { judge } from './judge.ts';
import type { JobWatcher, Lab, ProbeJob } from './lab.ts';
import { FLOOD_MEMORY_BYTES, WITNESS_QUIET_MS } from './limits.ts';

type Changes = { lines?: string[]; ended?: string; quietMs?: number; memoryBytes?: number };

const CUT =
  "failure: runner_gone: The guest broke the link's protocol: a message of more than 2 bytes.";

function observe(flood: Flood, changes: Changes): string {
  const { lines = [], ended = 'success', quietMs = 1000, memoryBytes = 1 } = changes;
  const job = { sandboxId: 'sb', driver: 'qemu', driverNote: '', lines, ended };
  return observeFlood({ flood, id: 'a-flood' }, { job, quietMs, memoryBytes }).outcome;
}

const whole = 'x'.repeat(LOG_JOB_BYTES);
const told = 'The log is full: 7 bytes were dropped';

test('a log that ends at its limit and says so held; one that goes on, or is silent, did not', () => {
  assert.equal(observe('log', { lines: [whole, told] }), 'stopped');
  assert.equal(observe('log', { lines: [whole] }), 'through');
  assert.equal(observe('log', { lines: [whole, whole, told] }), 'through');
});

test('a flood that was none shows nothing', () => {
  assert.equal(observe('log', { lines: ['x', told] }), 'not tried');
  assert.equal(observe('message', {}), 'not tried');
});

test('a job that floods its link is ended for it; one that goes on got through', () => {
  const sent = 'onejob-prove {"id":"a-flood","seen":"sent","said":""}';
  for (const flood of ['message', 'frames'] as const) {
    assert.equal(observe(flood, { ended: CUT }), 'stopped');
    assert.equal(observe(flood, { lines: [sent] }), 'through');
  }
});

test('nothing held where another job stood still, or the host gave its memory', () => {
  for (const bad of [
    { quietMs: WITNESS_QUIET_MS + 1 },
    { memoryBytes: FLOOD_MEMORY_BYTES + 1 },
  ] satisfies Changes[]) {
    assert.equal(observe('log', { lines: [whole, told], ...bad }), 'through');
    assert.equal(observe('message', { ended: CUT, ...bad }), 'through');
  }
});

test('a flood that is stopped does not count: there is no control that could get through', async () => {
  const ended = { sandboxId: 'sb', driver: 'qemu', driverNote: '', lines: [], ended: CUT };
  const lab: Lab = {
    dataDirectory: '/nowhere',
    cacheDirectory: undefined,
    engineDirectory: undefined,
    run: async ({ files }: ProbeJob, { line, stop }: JobWatcher = {}) => {
      const isWitness = JSON.stringify(files).includes('witness');
      const timer = isWitness ? setInterval(() => line?.('witness now'), 50) : undefined;
      if (isWitness && stop !== undefined) await once(stop, 'abort');
      clearInterval(timer);
      return ended;
    },
  };
  const attacks = floodAttacks().filter(({ flood }) => flood === 'frames');
  const result = (await tryFloods(attacks, lab, 'qemu')).get('frames');
  const [attack] = attacks;
  assert.ok(attack !== undefined && result !== undefined);
  const finding = judge(attack, result.attack, result.control);
  assert.equal(result.attack.outcome, 'stopped');
  assert.equal(finding.verdict, 'not counted');
  assert.match(finding.control.observed, /no platform without that limit/);
});
