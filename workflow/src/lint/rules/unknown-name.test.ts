import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings, job } from './_lint.ts';

const found = (text: string): string[] => findings('unknown-name', text);
const run = (expression: string): string => `run: "\${{ ${expression} }}"`;

test('a step is known to the steps after it, by its id and three properties', () => {
  const step = (expression: string) =>
    found(
      job(
        'steps:',
        '  - { id: First, run: a }',
        `  - { id: second, ${run(expression)} }`,
        '  - { id: third, run: c }',
      ),
    );
  for (const known of ['outputs.x', 'outcome', 'Conclusion'])
    assert.deepEqual(step(`steps.first.${known}`), []);
  assert.deepEqual(step('toJSON(steps)'), []);
  assert.deepEqual(step('steps[github.ref].outputs.x'), []);
  assert.deepEqual(step('steps.frist.outputs.x'), [
    "7:29 error `steps.frist.outputs.x` is always empty: no step of job 'a' has the id 'frist'; there are: First",
  ]);
  assert.match(step('steps.third.outputs.x')[0] ?? '', /the step 'third' comes later, in line 8$/);
  assert.match(
    step('steps.second.outputs.x')[0] ?? '',
    /the step 'second' is this one and has not run yet$/,
  );
  assert.match(
    step('steps.first.result')[0] ?? '',
    /a step has no 'result'; there are: outputs, outcome, conclusion$/,
  );
});

test('outputs of a job know all of its steps, and conditions have a place of their own', () => {
  const text = job(
    'outputs: { x: "${{ steps.one.outputs.x }}" }',
    'steps:',
    '  - id: one',
    '    if: steps.two.outcome',
    '    run: a',
  );
  assert.match(found(text).join('\n'), /^8:13 error `steps\.two\.outcome` is always empty/);
  assert.equal(found(text).length, 1);
});

test('needs are those the job names, with the outputs those declare', () => {
  const text = (needs: string, expression: string) =>
    'on: push\njobs:\n' +
    '  build: { runs-on: l, outputs: { made: x }, steps: [{ run: a }] }\n' +
    '  called: { uses: ./.github/workflows/x.yml }\n' +
    `  test: { needs: [${needs}], runs-on: l, steps: [{ ${run(expression)} }] }\n`;
  assert.deepEqual(found(text('build', 'needs.build.outputs.MADE')), []);
  assert.deepEqual(found(text('build', 'needs.build.result')), []);
  assert.deepEqual(found(text('called', 'needs.called.outputs.any')), []);
  assert.deepEqual(found(text('build', 'needs.*.result')), []);
  assert.match(
    found(text('called', 'needs.build.result'))[0] ?? '',
    /job 'test' does not need 'build'; add it to its `needs`$/,
  );
  assert.match(
    found(text('build', 'needs.bild.result'))[0] ?? '',
    /no job has the key 'bild'; 'test' needs: build$/,
  );
  assert.match(
    found(text('build', 'needs.build.outputs.maed'))[0] ?? '',
    /declares no output 'maed'; there are: made$/,
  );
  assert.match(
    found(text('build', 'needs.build.outcome'))[0] ?? '',
    /has no 'outcome'; there are: outputs, result$/,
  );
});

test('matrix keys are those of the matrix and its includes', () => {
  const text = (matrix: string, expression: string) =>
    found(job(`strategy: { matrix: ${matrix} }`, `steps: [{ ${run(expression)} }]`));
  const written = '{ os: [a], include: [{ os: a, extra: 1 }] }';
  assert.deepEqual(text(written, 'matrix.os.name && matrix.Extra'), []);
  assert.match(
    text(written, 'matrix.node')[0] ?? '',
    /the matrix of job 'a' has no key 'node'; there are: os, extra$/,
  );
  assert.deepEqual(text('"${{ fromJSON(vars.M) }}"', 'matrix.node'), []);
  assert.deepEqual(text('{ os: [a], include: "${{ fromJSON(vars.M) }}" }', 'matrix.node'), []);
  assert.match(
    found(job(`steps: [{ ${run('matrix.os')} }]`))[0] ?? '',
    /has no key 'os'; there are none$/,
  );
});

test('inputs are those of workflow_dispatch and workflow_call', () => {
  const text = (on: string, expression: string) =>
    found(`on: ${on}\njobs:\n  a: { runs-on: l, steps: [{ ${run(expression)} }] }\n`);
  const dispatch = '{ workflow_dispatch: { inputs: { who: { type: string } } } }';
  const called = '{ workflow_call: { inputs: { what: { type: string } } } }';
  assert.deepEqual(text(dispatch, 'inputs.WHO'), []);
  assert.deepEqual(text(dispatch, 'github.event.inputs.who'), []);
  assert.deepEqual(text(called, 'inputs.what || github.event.inputs.any'), []);
  assert.match(text(dispatch, 'inputs.what')[0] ?? '', /declares no input 'what'; there are: who$/);
  assert.match(text('push', 'inputs.what')[0] ?? '', /declares no input 'what'; there are none$/);
  assert.match(
    text(dispatch, 'github.event.inputs.what')[0] ?? '',
    /`workflow_dispatch` declares no input 'what'/,
  );
});

test('properties of contexts that GitHub fills are known', () => {
  const of = (expression: string) => found(job(`steps: [{ ${run(expression)} }]`));
  for (const known of [
    'github.repositoryUrl',
    'github.event.any.thing',
    'runner.tool_cache',
    'job.status',
    'strategy.job-index',
    'vars.ANY',
    'secrets.ANY',
    'env.ANY',
    'job.services.db.ports[5432]',
  ]) {
    assert.deepEqual(of(known), [], known);
  }
  assert.match(of('github.brach')[0] ?? '', /the context `github` has no 'brach'$/);
  assert.match(of('runner.platform')[0] ?? '', /the context `runner` has no 'platform'$/);
  assert.match(of('github.constructor')[0] ?? '', /has no 'constructor'$/);
});

test('outputs of a called workflow name its jobs', () => {
  const text = (key: string) =>
    found(
      `on: { workflow_call: { outputs: { x: { value: "\${{ jobs.${key}.outputs.x }}" } } } }\n` +
        'jobs:\n  a: { runs-on: l, outputs: { x: y }, steps: [{ run: a }] }\n',
    );
  assert.deepEqual(text('a'), []);
  assert.match(text('b')[0] ?? '', /no job has the key 'b'; there are: a$/);
});
