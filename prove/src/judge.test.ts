import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Attack } from './attack.ts';
import { countVerdicts, isProved, judge, type Observation } from './judge.ts';

const attack: Attack = {
  kind: 'remains',
  id: 'one',
  class: 'burial',
  title: 'leaves something',
  expected: 'nothing is left',
  control: 'the same search before',
  remains: 'directory',
};
const through: Observation = { outcome: 'through', seen: 'the secret' };
const stopped: Observation = { outcome: 'stopped', seen: 'ENOENT' };
const notTried: Observation = { outcome: 'not tried', why: 'no perl' };
const verdict = (sandbox: Observation, control: Observation): string =>
  judge(attack, sandbox, control).verdict;

test('an attack is held only if it was stopped and its control got through', () => {
  assert.equal(verdict(stopped, through), 'held');
  assert.equal(verdict(stopped, stopped), 'not counted');
  assert.equal(verdict(stopped, notTried), 'not counted');
});

test('an attack that got through is broken, whatever its control shows', () => {
  for (const control of [through, stopped, notTried]) {
    assert.equal(verdict(through, control), 'broken');
  }
});

test('what was not tried is never held, and says why', () => {
  for (const control of [through, stopped, notTried]) {
    const finding = judge(attack, notTried, control);
    assert.equal(finding.verdict, 'not tried');
    assert.equal(finding.observed, 'no perl');
  }
});

test('a proof needs one attack that held, and none that got through', () => {
  const totals = (...verdicts: string[]) =>
    countVerdicts(verdicts.map((one) => ({ verdict: one as 'held' })));
  assert.equal(isProved(totals('held', 'not counted', 'not tried')), true);
  assert.equal(isProved(totals('held', 'broken')), false);
  assert.equal(isProved(totals('not counted', 'not tried')), false);
  assert.equal(isProved(totals()), false);
});
