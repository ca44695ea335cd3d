/** Pre parts of actions of other repositories, which a mirror of the host gives. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { UsesStep } from '@onejob/protocol';
import { runToEnd, type TestHost } from './_host.ts';
import { makeTask, run, uses } from './_task.ts';

const ACTION = 'runs: { using: node24, pre: pre.js, main: main.js }\n';

/** The archive of an action with this pre part. */
function archive(pre: string): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-pre-'));
  try {
    writeFileSync(join(directory, 'action.yml'), ACTION);
    writeFileSync(join(directory, 'pre.js'), pre);
    writeFileSync(join(directory, 'main.js'), "console.log('main ran');");
    return execFileSync('tar', ['-c', '-C', directory, '.']);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function runWithPre(pre: string, parts: Partial<UsesStep>): Promise<TestHost> {
  const tar = archive(pre);
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
