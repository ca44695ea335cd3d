import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings } from './_lint.ts';

const found = (condition: string, on = 'push'): string[] =>
  findings(
    'expression-type',
    `on: ${on}\njobs:\n  b: { runs-on: l, steps: [{ run: a }] }\n  a:\n    needs: b\n    runs-on: l\n` +
      `    steps:\n      - { id: one, run: a }\n      - if: ${JSON.stringify(condition)}\n        run: a\n`,
  );
const DISPATCH =
  '{ workflow_dispatch: { inputs: { flag: { type: boolean }, size: { type: choice, options: [s, m] } } } }';

test('a result that nobody can end with is never equal', () => {
  assert.deepEqual(found("needs.b.result == 'succes'"), [
    "9:13 error `needs.b.result == 'succes'` is always false: `needs.b.result` is one of success, failure, cancelled, skipped",
  ]);
  assert.match(found("'failed' != steps.one.outcome")[0] ?? '', /is always true: /);
  assert.match(found("job.status == 'skipped'")[0] ?? '', /is one of success, failure, cancelled$/);
  assert.match(found("runner.os == 'ubuntu'")[0] ?? '', /is one of Linux, Windows, macOS$/);
  assert.match(found("github.event_name == 'pull_request'")[0] ?? '', /is one of push$/);
  assert.match(found("inputs.size == 'xl'", DISPATCH)[0] ?? '', /is one of s, m$/);
});

test('what can be equal is left alone', () => {
  for (const condition of [
    "needs.b.result == 'Success' || steps.one.conclusion != 'failure'",
    "runner.os == 'linux' && runner.arch == 'ARM64' && github.ref_type == 'tag'",
    "github.event_name == 'push'",
    "env.X == 'true' && vars.Y == '' && steps.one.outputs.n == 5",
    'fromJSON(env.X) == true && matrix == null',
    'github.event.number == 7',
    'always() == true',
    "'a' == 'b'",
  ]) {
    assert.deepEqual(found(condition), [], condition);
  }
  assert.deepEqual(found("inputs.flag == true && inputs.size == ''", DISPATCH), []);
  const called = '{ push: null, workflow_call: null }';
  assert.deepEqual(found("github.event_name == 'release'", called), []);
});

test('values of different kinds are said to be what they are', () => {
  assert.match(found("inputs.flag == 'true'", DISPATCH)[0] ?? '', /is true or false, and no text/);
  assert.match(found("contains('a', 'b') == 'yes'")[0] ?? '', /is true or false, and no text/);
  assert.match(
    found('github.event.inputs.flag == true', DISPATCH)[0] ?? '',
    /compare it with the text 'true'/,
  );
  assert.match(found('env.X == true')[0] ?? '', /is a text, and no text but '1' equals true/);
  assert.match(found("needs.b == 'success'")[0] ?? '', /`needs\.b` is an object$/);
  assert.match(
    found("startsWith(github.event, 'x')")[0] ?? '',
    /`github\.event` is an object; as text it is the word Object/,
  );
});

test('an object in a text is the word Object', () => {
  const text = (run: string) =>
    findings(
      'expression-type',
      `on: push\njobs:\n  a: { runs-on: l, steps: [{ run: "${run}" }] }\n`,
    );
  assert.match(
    text('echo ${{ github.sha }} ${{ runner }}')[0] ?? '',
    /^3:59 error `runner` is an object/,
  );
  assert.match(text('${{ env }}')[0] ?? '', /`env` is an object/);
  assert.deepEqual(text('echo ${{ toJSON(runner) }} ${{ env.X }}'), []);
});
