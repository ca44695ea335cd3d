/** Whether a missed target is found wherever it is in a report. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { missedTargets } from './targets.ts';

test('missed targets are named by their path; those that were met, and what has none, are not', () => {
  const met = { tookMs: 1, isTargetMet: true };
  const missed = { tookMs: 9, isTargetMet: false };
  const report = {
    date: '2026',
    steps: missed,
    actions: { runSteps: met, composite: { a: missed } },
  };
  assert.deepEqual(missedTargets(report), ['steps', 'actions.composite.a']);
  assert.deepEqual(missedTargets({ steps: met, plan: { parseMs: 3, list: [null, 'text'] } }), []);
});
