/** Actions of other repositories, which a mirror of the host gives: their pre parts, their contexts. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { UsesStep } from '@onejob/protocol';
import { runToEnd, type TestHost } from './_host.ts';
import { expr, makeTask, map, path, run, uses } from './_task.ts';

/** The archive of an action. */
function archive(files: Record<string, string>): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-action-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    return execFileSync('tar', ['-c', '-C', directory, '.']);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function runAction(
  files: Record<string, string>,
  parts: Partial<UsesStep>,
): Promise<TestHost> {
  const tar = archive(files);
  const bulk = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    assert.match(headers[':path'] ?? '', /repository=pre/);
    stream.respond({ ':status': 200, 'content-length': String(tar.length) });
    stream.end(tar);
  };
  const step = uses('acme/pre@v1', {
    action: { kind: 'repository', owner: 'acme', repository: 'pre', path: '', ref: 'v1' },
    ...parts,
  });
  return await runToEnd({ task: makeTask([step, run('echo last')]), bulk });
}

const runWithPre = async (
  pre: string,
  parts: Partial<UsesStep>,
  when = 'always()',
): Promise<TestHost> =>
  await runAction(
    {
      'action.yml': `runs: { using: node24, pre: pre.js, pre-if: "${when}", main: main.js }\n`,
      'pre.js': pre,
      'main.js': "console.log('main ran');",
    },
    parts,
  );

const preOf = (host: TestHost) =>
  host.steps().find(({ index, phase }) => index === 0 && phase === 'pre');

test('a pre part that fails fails the job', async () => {
  await using host = await runWithPre('process.exit(3)', {});
  assert.equal(host.finished.conclusion, 'failure');
  assert.match(
    host.finished.message,
    /step 'Pre Run acme\/pre@v1' failed: Process completed with exit code 3/,
  );
  assert.ok(!host.lines().includes('last'));
});

test('continue-on-error of a step is that of its pre part too', async () => {
  await using host = await runWithPre('process.exit(3)', { continueOnError: true });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual([preOf(host)?.outcome, preOf(host)?.conclusion], ['failure', 'success']);
  assert.ok(host.lines().includes('main ran') && host.lines().includes('last'));
});

test('timeout-minutes of a step is the time of its pre part too', async () => {
  const hangs = "console.log('begun'); setTimeout(() => console.log('too late'), 30_000);";
  await using host = await runWithPre(hangs, { timeoutMinutes: 0.01 });
  assert.equal(host.finished.conclusion, 'failure');
  assert.ok(host.lines().includes('begun') && !host.lines().includes('too late'), host.text());
  assert.match(
    host.finished.message,
    /The action 'Pre Run acme\/pre@v1' has timed out after 0\.01 minutes/,
  );
});

test('a pre part whose condition is false is skipped; the condition sees the env of the step', async () => {
  const pre = "console.log('pre ran');";
  for (const [go, conclusion] of [
    ['yes', 'success'],
    ['no', 'skipped'],
  ] as const) {
    await using host = await runWithPre(pre, { env: map({ GO: go }) }, "env.GO == 'yes'");
    assert.equal(preOf(host)?.conclusion, conclusion, host.text());
    assert.equal(host.lines(0).includes('pre ran'), go === 'yes');
    assert.ok(host.lines(0).includes('main ran'));
  }
});

test('a pre condition that cannot be evaluated fails the job with its place', async () => {
  await using host = await runWithPre('', {}, "fromJSON('{')");
  assert.equal(preOf(host)?.conclusion, 'failure');
  assert.equal(host.finished.reason, 'invalid_expression', host.text());
  assert.match(host.finished.message, /^\.github\/workflows\/ci\.yml \(Line: /);
});

test('defaults of inputs and `with` see the repository and the ref of the action', async () => {
  const action =
    'inputs: { from: { default: "${{ github.action_repository }}@${{ github.action_ref }}" }, ref: {} }\n' +
    'runs: { using: node24, main: main.js }\n';
  const main = 'console.log(`from ${process.env.INPUT_FROM}, ref ${process.env.INPUT_REF}`);';
  await using host = await runAction(
    { 'action.yml': action, 'main.js': main },
    { with: map({ ref: expr(path('github.action_ref')) }) },
  );
  assert.ok(host.lines(0).includes('from acme/pre@v1, ref v1'), host.text());
});
