/** Names of runs, as `run-name` of GitHub's workflow syntax tells them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonObject } from '@onejob/protocol';
import { FILE, parsed, problemsOf } from '../../tests/_workflows.ts';
import { planBudget, PlanError, runName } from '../index.ts';

const REST = 'on: push\njobs: { a: { runs-on: x, steps: [{ run: a }] } }\n';

function nameOf(top: string, github: JsonObject = {}, inputs: JsonObject = {}): string {
  const vars = { stage: 'prod' };
  const scope = { budget: planBudget(), github: { actor: 'mona', ...github }, vars, inputs };
  return runName(parsed(`${top}${REST}`), scope);
}
const push = (message: unknown): JsonObject => ({
  event_name: 'push',
  event: { head_commit: { message } } as JsonObject,
});

test('a run is called as its workflow says, with github, inputs and vars', () => {
  const text = 'run-name: Deploy ${{ inputs.to }} to ${{ vars.stage }} by @${{ github.actor }}\n';
  assert.equal(nameOf(text, push('a commit'), { to: 7 }), 'Deploy 7 to prod by @mona');
  assert.equal(nameOf('run-name: plain\n'), 'plain');
  assert.match(problemsOf(`run-name: \${{ secrets.a }}\n${REST}`)[0] ?? '', /'secrets'/);
});

test('without a name, or with an empty one, the event says it', () => {
  const pull = { event_name: 'pull_request', event: { pull_request: { title: 'Add it' } } };
  for (const top of [
    'name: CI\n',
    "name: CI\nrun-name: ' '\n",
    'name: CI\nrun-name: ${{ inputs.x }}\n',
  ]) {
    assert.equal(nameOf(top, push('Fix the\ttable\n\nand its legs')), 'Fix the table');
    assert.equal(nameOf(top, pull), 'Add it');
    assert.equal(nameOf(top, { ...pull, event_name: 'pull_request_target' }), 'Add it');
    assert.equal(nameOf(top, { ...pull, event_name: 'workflow_dispatch' }), 'CI');
  }
});

test('an event without a title leaves the name of the workflow, or its file', () => {
  for (const github of [push(''), push(7), { event_name: 'push', event: { head_commit: null } }]) {
    assert.equal(nameOf('name: CI\n', github), 'CI');
    assert.equal(nameOf('', github), FILE);
  }
  assert.equal(nameOf('name: CI\n', { event_name: 'push' }), 'CI');
});

test('a name is one line of at most 255 characters, cut between them', () => {
  const name = nameOf('run-name: ${{ inputs.x }}\n', {}, { x: '🚀'.repeat(300) });
  assert.equal(name, `${'🚀'.repeat(252)}...`);
  assert.equal(nameOf('run-name: ${{ inputs.x }}\n', {}, { x: 'a\r\nb\u2028c' }), 'a b c');
  const whole = 'x'.repeat(255);
  assert.equal(nameOf('run-name: ${{ inputs.x }}\n', {}, { x: whole }), whole);
});

test('what is no text is said with its place', () => {
  const cases: [string, string][] = [
    ['${{ fromJSON(inputs.x) }}', "1:11 Error when evaluating 'run-name'. A text was expected"],
    ['${{ fromJSON(github.actor) }}', "1:11 Error when evaluating 'run-name'. fromjson"],
  ];
  for (const [text, expected] of cases) {
    assert.throws(
      () => nameOf(`run-name: ${text}\n`, {}, { x: '[1]' }),
      (error) => {
        assert.ok(error instanceof PlanError, String(error));
        const [problem] = error.problems;
        const said = `${problem?.line}:${problem?.column} ${problem?.message}`;
        assert.ok(said.toLowerCase().startsWith(expected.toLowerCase()), said);
        return problem?.file === FILE;
      },
    );
  }
});
