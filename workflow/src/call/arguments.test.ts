/** Inputs of a call; expectations: the workflow parser of GitHub's runner (ConvertToWorkflowJobInputs). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json } from '@onejob/protocol';
import { parsed, SCOPE } from '../../tests/_workflows.ts';
import { planBudget } from '../plan/scope.ts';
import { PlanError } from '../error.ts';
import { type Caller, callInputs, callOutputs, callSecrets, checkCall } from './arguments.ts';

const CALLED = (what: string) =>
  parsed(`on:\n  workflow_call:\n    ${what}\njobs:\n  x: { runs-on: l, steps: [{ run: a }] }\n`);
const scope = { ...SCOPE, matrix: { v: 7 }, strategy: {}, vars: { FIVE: '5', LIST: '[1]' } };

function callerWith(more: string): Caller {
  const uses = 'uses: ./.github/workflows/x.yml';
  const [job] = parsed(`on: push\njobs:\n  a:\n    ${uses}\n    ${more}\n`).jobs;
  assert.ok(job?.call);
  return { ...job, call: job.call };
}

function inputs(declared: string, given: string): Json {
  const called = CALLED(`inputs: { ${declared} }`);
  const caller = callerWith(`with: { ${given} }`);
  try {
    return callInputs(caller, called, scope);
  } catch (error) {
    assert.ok(error instanceof PlanError, String(error));
    return error.message.replace(/^.*ci\.yml:/, '');
  }
}

test('a text takes every scalar, a number and a boolean only their own kind', () => {
  const three = 's: { type: string }, n: { type: number }, b: { type: boolean }';
  assert.deepEqual(inputs(three, 's: 1.50, n: 0x10, b: true'), { s: '1.5', n: 16, b: true });
  assert.deepEqual(inputs(three, 's: true, n: "${{ matrix.v }}", b: "${{ 1 == 1 }}"'), {
    s: 'true',
    n: 7,
    b: true,
  });
  assert.deepEqual(inputs(three, 'n: "${{ fromJSON(vars.FIVE) }}"'), { s: '', n: 5, b: false });
  assert.equal(
    inputs(three, 'n: "${{ vars.FIVE }}"'),
    `5:17: Input 'n': Unexpected value '5': a number was expected`,
  );
  assert.match(JSON.stringify(inputs(three, 'b: "${{ vars.NONE }}"')), /Unexpected value ''/);
  assert.match(
    JSON.stringify(inputs(three, 's: "${{ fromJSON(vars.LIST) }}"')),
    /A sequence was not expected/,
  );
});

test('names are found without case and called as they are declared; defaults may be expressions', () => {
  assert.deepEqual(inputs('Name: { type: string }', 'nAME: a'), { Name: 'a' });
  assert.deepEqual(inputs("d: { type: string, default: 'by ${{ github.actor }}' }", ''), {
    d: 'by mona',
  });
  const odd = inputs('__proto__: { type: string }, constructor: { type: string }', '__proto__: p');
  assert.equal(JSON.stringify(odd), '{"__proto__":"p","constructor":""}');
});

test('a literal of another type is known before anything is evaluated', () => {
  const called = CALLED('inputs: { n: { type: number } }');
  const problems = (given: string) =>
    checkCall(callerWith(`with: { n: ${given} }`), called).map((one) => one.message);
  assert.deepEqual(problems('5'), []);
  assert.deepEqual(problems('"${{ github.actor }}"'), []);
  assert.deepEqual(problems("'5'"), [`Unexpected value '5'`]);
  assert.deepEqual(problems(''), [`Unexpected value ''`]);
});

test('secrets are mapped by name, or all of them are inherited', () => {
  const own = { A: 'one', B: 'two' };
  const mapped = callerWith("secrets: { x: '${{ secrets.a }}', y: '${{ secrets.C }}' }");
  assert.deepEqual(callSecrets(mapped, own, scope), { x: 'one', y: '' });
  assert.deepEqual(callSecrets(callerWith('secrets: inherit'), own, scope), own);
});

test('outputs are made of what the called jobs became', () => {
  const called = CALLED(
    "outputs: { o: { value: '${{ jobs.x.result }} ${{ jobs.x.outputs.v }}' } }",
  );
  const jobs = { x: { result: 'success', outputs: { v: 'w' } } };
  assert.deepEqual(
    callOutputs(called, { budget: planBudget(), github: {}, inputs: {}, vars: {}, jobs }),
    {
      o: 'success w',
    },
  );
});
