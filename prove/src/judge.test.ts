import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Attack } from './attack.ts';
import { countPlatform, isProved, judge, type Observation, type Verdict } from './judge.ts';

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
  const proved = (...verdicts: Verdict[]): boolean =>
    isProved(verdicts.map((one) => ({ verdict: one })));
  assert.equal(proved('held', 'not counted', 'not tried'), true);
  assert.equal(proved('held', 'broken'), false);
  assert.equal(proved('not counted', 'not tried'), false);
  assert.equal(proved(), false);
});

test('what an agent of the host tried is on the platform, and alone no proof of a sandbox', () => {
  const theft: Attack = { ...attack, kind: 'lease', theft: 'adoption' };
  const [lease, other] = [theft, attack].map((one) => judge(one, stopped, through));
  assert.deepEqual([lease?.subject, lease?.verdict], ['platform', 'held']);
  assert.equal(other?.subject, 'sandbox');
  assert.ok(lease !== undefined && other !== undefined);
  assert.equal(isProved([lease, lease]), false);
  assert.equal(isProved([lease, other]), true);
  assert.equal(countPlatform([lease, other, lease]), 2);
  const broken = judge(theft, through, through);
  assert.equal(isProved([broken, other]), false, 'what gets through counts, whoever tried it');
});
