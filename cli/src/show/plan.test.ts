import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '@onejob/protocol';
import { showPlan } from './plan.ts';
import { painter } from './style.ts';

const file = '.github/workflows/ci.yml';
const plan: Plan = {
  workflows: [
    {
      file,
      name: 'c\x1b]0;evil\x07i',
      triggered: true,
      why: '',
      events: ['push'],
      jobs: [
        {
          key: 'a',
          name: 'a\x1b[2J',
          needs: [],
          runsOn: ['ubuntu\x9b2J'],
          legs: ['a (\x1b[2J1)', 'a (2)'],
          condition: 'success()',
          steps: ['Run \x1b[2Jmake'],
          refused: null,
          at: { line: 3, column: 3 },
        },
      ],
      warnings: [{ file, line: 2, column: 1, message: 'is not\napplied yet\x1b[2J' }],
    },
  ],
};

test('a plan shows jobs or steps, then what is not done yet, one line each with its place', () => {
  const warning = `${file}:2:1: warning: is not applied yet`;
  const list = showPlan(plan, painter(false), false).split('\n');
  assert.deepEqual(list, [
    `ci  ${file}  on: push  runs`,
    'job  name  machines  needs  runs-on',
    'a    a     2         -      ubuntu2J',
    warning,
  ]);
  const steps = showPlan(plan, painter(false), true).split('\n');
  assert.deepEqual(steps, [
    `ci  ${file}  on: push  runs`,
    '  a (1)  if success()',
    '  a (2)  if success()',
    '      1. Run make',
    warning,
  ]);
});
