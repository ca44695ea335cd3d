/** Inputs of workflow_dispatch. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsed } from '../../tests/_workflows.ts';
import { dispatchInputs } from './inputs.ts';

const WORKFLOW = parsed(`on:
  workflow_dispatch:
    inputs:
      Level: { type: choice, options: [low, high], required: true, default: high }
      dry: { type: boolean }
      count: { type: number, default: 3 }
      name: { required: true }
      note: { type: string }
jobs: { a: { runs-on: x, steps: [{ run: a }] } }
`);

test('what is given is at most 65,535 characters as JSON', () => {
  const note = (characters: number) => {
    const rest = JSON.stringify({ name: '', note: '' }).length;
    return dispatchInputs(WORKFLOW, { name: '', note: 'x'.repeat(characters - rest) });
  };
  assert.ok(note(65_535).ok);
  const refused = note(65_536);
  assert.ok(!refused.ok);
  const [problem] = refused.problems;
  assert.match(problem?.message ?? '', /have 65536 characters .* takes at most 65535/);
  assert.deepEqual([problem?.line, problem?.column], [2, 3]);
});

test('given inputs are coerced to their types, names without case, and the rest get defaults', () => {
  const result = dispatchInputs(WORKFLOW, { level: 'low', dry: 'true', count: '4.5', name: 'x' });
  assert.deepEqual(result, {
    ok: true,
    inputs: { Level: 'low', dry: true, count: 4.5, name: 'x', note: '' },
  });
  const least = dispatchInputs(WORKFLOW, { name: '' });
  assert.deepEqual(least, {
    ok: true,
    inputs: { Level: 'high', dry: false, count: 3, name: '', note: '' },
  });
});

test('what is missing, unknown or of another type is said with the place of its declaration', () => {
  const result = dispatchInputs(WORKFLOW, { Level: 'mid', dry: 'yes', count: 'x', nope: '1' });
  assert.ok(!result.ok);
  assert.deepEqual(
    result.problems.map((p) => `${p.line}:${p.column} ${p.message}`),
    [
      "4:7 Input 'Level' must be one of 'low', 'high', not 'mid'",
      "5:7 Input 'dry' must be true or false, not 'yes'",
      "6:7 Input 'count' must be a number, not 'x'",
      "7:7 Required input 'name' not provided",
      "2:3 Unexpected input 'nope': the workflow takes 'Level', 'dry', 'count', 'name', 'note'",
    ],
  );
});

test('a default need not be of the type of its input, nor an input be described at all', () => {
  const { triggers } = parsed(`on:
  workflow_dispatch:
    inputs:
      debug: { required: false, default: false }
      level: { type: choice, options: ['1', '2'], default: 1 }
      soft: { type: boolean, default: 'true' }
      none: { type: boolean, default: '' }
      bare:
jobs: { a: { runs-on: x, steps: [{ run: a }] } }
`);
  assert.deepEqual(dispatchInputs({ ...WORKFLOW, triggers }, {}), {
    ok: true,
    inputs: { debug: 'false', level: '1', soft: true, none: false, bare: '' },
  });
  const empty = parsed(`on: { workflow_dispatch: { inputs: } }
jobs: { a: { runs-on: x, steps: [{ run: a }] } }
`);
  assert.deepEqual(dispatchInputs(empty, {}), { ok: true, inputs: {} });
});
