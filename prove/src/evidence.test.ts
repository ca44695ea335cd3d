import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Evidence, SandboxAttack } from './attack.ts';
import { observe, readReports, type Round } from './evidence.ts';

const attackWith = (evidence: Evidence): SandboxAttack => ({
  kind: 'sandbox',
  id: 'one',
  class: 'escape',
  title: '',
  expected: '',
  control: '',
  probes: [{ turn: 'first', probe: { do: 'script', script: 'true' } }],
  evidence,
});

const roundWith = (known: Partial<Round>, seen = ''): Round => ({
  reports: new Map([['one', { seen, said: '' }]]),
  host: new Map(),
  values: new Map([['file', 'prove-file-1234']]),
  arrivals: [],
  changes: new Map(),
  log: '',
  ended: 'success',
  ...known,
});

const outcome = (evidence: Evidence, round: Round): string =>
  observe(attackWith(evidence), round).outcome;

test('a secret of the host is evidence, and what only looks like one is not', () => {
  const evidence: Evidence = { by: 'secret', name: 'file' };
  assert.equal(outcome(evidence, roundWith({}, 'so: prove-file-1234')), 'through');
  assert.equal(outcome(evidence, roundWith({}, 'prove-file-9999')), 'stopped');
  assert.equal(outcome({ by: 'secret', name: 'nobody' }, roundWith({}, '')), 'stopped');
});

test('what the host sees is evidence where there is something to see', () => {
  const evidence: Evidence = { by: 'alike' };
  const host = new Map([['one', 'boot 7\n']]);
  assert.equal(outcome(evidence, roundWith({ host }, 'boot 7')), 'through');
  assert.equal(outcome(evidence, roundWith({ host }, 'boot 8')), 'stopped');
  assert.equal(outcome(evidence, roundWith({ host: new Map([['one', ' \n']]) }, '')), 'not tried');
  assert.equal(outcome(evidence, roundWith({}, '')), 'not tried');
});

test('an arrival counts for the attack that it names, at its address and from its source', () => {
  const arrivals = [{ id: 'one', address: '10.0.0.1', from: '203.0.113.1' }];
  assert.equal(outcome({ by: 'arrival' }, roundWith({ arrivals })), 'through');
  assert.equal(outcome({ by: 'arrival', address: '10.0.0.1' }, roundWith({ arrivals })), 'through');
  assert.equal(outcome({ by: 'arrival', address: '10.0.0.2' }, roundWith({ arrivals })), 'stopped');
  assert.equal(
    outcome({ by: 'arrival', from: '198.51.100.7' }, roundWith({ arrivals })),
    'stopped',
  );
  const others = [{ id: 'two', address: '10.0.0.1', from: '' }];
  assert.equal(outcome({ by: 'arrival' }, roundWith({ arrivals: others })), 'stopped');
});

test('a change of the host and a text of the log are evidence, whatever the probe says', () => {
  const changes = new Map([['written', 'its file is there']]);
  assert.equal(outcome({ by: 'change', name: 'written' }, roundWith({ changes })), 'through');
  assert.equal(outcome({ by: 'change', name: 'other' }, roundWith({ changes }, 'done')), 'stopped');
  assert.equal(
    outcome({ by: 'log', text: '<s3cret>' }, roundWith({ log: 'a\n<s3cret>' })),
    'through',
  );
  assert.equal(outcome({ by: 'log', text: '<s3cret>' }, roundWith({ log: '<***>' })), 'stopped');
});

test('an attack whose probe said nothing was not tried', () => {
  const observation = observe(
    attackWith({ by: 'arrival' }),
    roundWith({ reports: new Map(), ended: 'failure: out_of_memory' }),
  );
  assert.deepEqual(observation, {
    outcome: 'not tried',
    why: 'no probe said so: failure: out_of_memory',
  });
});

test('lines of a log that are no reports are left out, whatever a job prints', () => {
  const reports = readReports([
    'onejob-prove {"id":"a","seen":"x","said":""}',
    'onejob-prove {"id":"b"',
    'onejob-prove {"id":7,"seen":"x","said":""}',
    'onejob-prove {"id":"__proto__","seen":"x","said":""}',
    ' onejob-prove {"id":"c","seen":"x","said":""}',
    'onejob-prove {"id":"a","seen":"y","said":"z"}',
  ]);
  assert.deepEqual([...reports.keys()], ['a', '__proto__']);
  assert.deepEqual(reports.get('a'), { seen: 'y', said: 'z' });
});

test('a job of its own that ended for want of memory was stopped; for another reason it shows nothing', () => {
  const silent = { reports: new Map() };
  const end = (how: string) => roundWith({ ...silent, alone: new Map([['one', how]]) });
  const text: Evidence = { by: 'text', text: 'has' };
  assert.equal(outcome(text, end('failure: out_of_memory: The machine ran out.')), 'stopped');
  assert.equal(outcome(text, end('failure: boot_failed: No machine.')), 'not tried');
  assert.equal(outcome(text, roundWith({ ...silent, ended: 'x: out_of_memory: y' })), 'not tried');
});
