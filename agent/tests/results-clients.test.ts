/** The results endpoint with the real clients that GitHub's own actions are made of. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkLeaksAfterEach } from './_leaks.ts';
import { ResultsLab, type LabJob } from './_results-lab.ts';

const CLIENT = fileURLToPath(new URL('_client.mjs', import.meta.url));
const MiB = 1024 * 1024;

let lab: ResultsLab;
beforeEach(async () => {
  lab = await ResultsLab.open();
});
afterEach(async () => await lab[Symbol.asyncDispose]());
checkLeaksAfterEach();

type Result = { value?: unknown; error?: string; output: string };

/** Runs one act of the client in the workspace, as an action of this job. */
async function act(
  job: LabJob,
  name: string,
  words: unknown[],
  environment: Record<string, string> = {},
): Promise<Result> {
  const workspace = join(lab.directory, 'workspace');
  const temp = join(lab.directory, 'temp');
  for (const directory of [workspace, temp]) mkdirSync(directory, { recursive: true });
  const env = {
    PATH: process.env['PATH'] ?? '',
    RUNNER_TEMP: temp,
    GITHUB_WORKSPACE: workspace,
    ...job.environment(environment),
  };
  const { promise, resolve } = Promise.withResolvers<string>();
  execFile(
    process.execPath,
    [CLIENT, name, JSON.stringify(words)],
    { cwd: workspace, env, maxBuffer: 64 * MiB },
    (_error, stdout, stderr) => resolve(stdout + stderr),
  );
  const output = await promise;
  const line = /^RESULT (.*)$/m.exec(output)?.[1];
  assert.ok(line !== undefined, output);
  return { ...(JSON.parse(line) as object), output };
}

function workspaceFile(name: string, content?: string | Buffer): string {
  const path = join(lab.directory, 'workspace', name);
  mkdirSync(join(path, '..'), { recursive: true });
  if (content !== undefined) writeFileSync(path, content);
  return path;
}

const V1 = { ACTIONS_CACHE_SERVICE_V2: '', GITHUB_SERVER_URL: 'https://github.com' };

for (const [version, environment] of [
  ['2', {}],
  ['1', V1],
] as const) {
  test(`version ${version}: a cache is saved by one job and restored by the next`, async () => {
    const first = await lab.job();
    workspaceFile('deps/a.txt', 'what was built');
    const saved = await act(first, 'save', [['deps'], 'deps-linux-1'], environment);
    assert.ok(Number(saved.value) > 0, saved.output);
    const again = await act(first, 'save', [['deps'], 'deps-linux-1'], environment);
    assert.equal(again.value, -1, again.output);
    assert.match(again.output, /Failed to save: .*(another job may be creating|There is a cache)/);

    const second = await lab.job();
    rmSync(workspaceFile('deps'), { recursive: true });
    const exact = await act(second, 'restore', [['deps'], 'deps-linux-1'], environment);
    assert.equal(exact.value, 'deps-linux-1', exact.output);
    assert.equal(readFileSync(workspaceFile('deps/a.txt'), 'utf8'), 'what was built');
    const prefix = await act(
      second,
      'restore',
      [['deps'], 'deps-linux-2', ['other-', 'deps-linux-']],
      environment,
    );
    assert.equal(prefix.value, 'deps-linux-1', prefix.output);
    const none = await act(second, 'restore', [['deps'], 'deps-mac-1'], environment);
    assert.equal(none.value, undefined, none.output);
    assert.deepEqual(lab.warnings, []);
  });
}

test(
  'a cache of many blocks comes back byte for byte, in both versions',
  { timeout: 120_000 },
  async () => {
    for (const [key, sizeBytes, environment] of [
      // Version 2 sends blocks from 128 MiB on, version 1 pieces of 32 MiB.
      ['blocks', 130 * MiB, {}],
      ['pieces', 70 * MiB, V1],
    ] as const) {
      const content = randomBytes(sizeBytes);
      const job = await lab.job();
      const file = workspaceFile('large/file.bin', content);
      const saved = await act(job, 'save', [['large'], key], environment);
      assert.ok(Number(saved.value) > 0, saved.output);
      rmSync(file);
      const restored = await act(job, 'restore', [['large'], key], environment);
      assert.equal(restored.value, key, restored.output);
      assert.ok(readFileSync(file).equals(content));
    }
    assert.deepEqual(lab.files('open'), []);
  },
);

test('what may not be written or read is one warning, and the action goes on', async () => {
  workspaceFile('deps/a.txt', 'poison');
  const reader = await lab.job({ writableRef: '' });
  const nobody = await lab.job({ writableRef: '', readableRefs: [] });
  for (const environment of [{}, V1]) {
    const saved = await act(reader, 'save', [['deps'], 'k'], environment);
    assert.equal(saved.value, -1);
    assert.match(saved.output, /^::warning::.*cache write denied: /m);
    const restored = await act(nobody, 'restore', [['deps'], 'k'], environment);
    assert.equal(restored.value, undefined);
    assert.match(restored.output, /^::warning::.*cache read denied: /m);
  }
  const mode = await act(reader, 'save', [['deps'], 'k'], { ACTIONS_CACHE_MODE: 'read' });
  assert.match(mode.output, /Cache save skipped: the effective cache-mode 'read'/);
  assert.deepEqual(
    lab.files('kept').filter((file) => file.endsWith('.json')),
    [],
  );
});

test('an artifact goes from one job to another of its run, and can be listed and deleted', async () => {
  const builder = await lab.job();
  const root = workspaceFile('');
  const content = randomBytes(20 * MiB);
  const files = [
    workspaceFile('dist/app.bin', content),
    workspaceFile('dist/read me.txt', 'hello'),
  ];
  const uploaded = await act(builder, 'upload', ['the build', files, root]);
  const { id, size } = uploaded.value as { id: number; size: number };
  assert.ok(id > 0 && size > 20 * MiB, uploaded.output);
  const twice = await act(builder, 'upload', ['the build', files, root]);
  assert.match(twice.error ?? '', /409.*The run has an artifact with this name/);

  const tester = await lab.job();
  const listed = (await act(tester, 'list', [])).value as {
    name: string;
    id: number;
    size: number;
  }[];
  assert.deepEqual(
    listed.map((one) => [one.name, one.id, one.size]),
    [['the build', id, size]],
  );
  const target = join(lab.directory, 'target');
  const downloaded = await act(tester, 'download', ['the build', target]);
  assert.deepEqual(downloaded.value, { digestMismatch: false }, downloaded.output);
  assert.ok(readFileSync(join(target, 'dist/app.bin')).equals(content));
  assert.equal(readFileSync(join(target, 'dist/read me.txt'), 'utf8'), 'hello');

  const otherRun = await lab.job({ runId: '01990000-0000-7000-8000-00000000ffff' });
  assert.deepEqual((await act(otherRun, 'list', [])).value, []);

  assert.deepEqual((await act(tester, 'remove', ['the build'])).value, { id });
  assert.deepEqual((await act(builder, 'list', [])).value, []);
  const left = lab.files('kept').filter((file) => /[0-9a-f]{64}$|json$/.test(file));
  assert.deepEqual(left, []);
  assert.deepEqual(lab.warnings, []);
});

test('the clients keep every signature out of the log', async () => {
  const job = await lab.job();
  workspaceFile('deps/a.txt', 'content');
  const { output } = await act(job, 'save', [['deps'], 'k'], {
    ACTIONS_STEP_DEBUG: 'true',
    RUNNER_DEBUG: '1',
  });
  const signatures = [...output.matchAll(/sig=([0-9a-f]{64})/g)].map(([, sig]) => sig);
  assert.ok(signatures.length > 0, 'the debug output shows the address');
  for (const sig of signatures) assert.ok(output.includes(`::add-mask::${sig}`));
});

test('a run that is run again makes its artifacts again, and has those of its earlier attempts', async () => {
  const root = workspaceFile('');
  const upload = async (job: LabJob, name: string, content: string): Promise<Result> =>
    await act(job, 'upload', [name, [workspaceFile('word.txt', content)], root]);
  const first = await lab.job();
  await upload(first, 'kept', 'of the first');
  await upload(first, 'made again', 'of the first');
  const second = await lab.job({ attempt: 2 });
  const again = await upload(second, 'made again', 'of the second');
  assert.equal(again.error, undefined);
  assert.match((await upload(second, 'made again', 'x')).error ?? '', /409/);

  const tester = await lab.job({ attempt: 2 });
  const word = async (name: string): Promise<string> => {
    const target = join(lab.directory, `target of ${name}`);
    const downloaded = await act(tester, 'download', [name, target]);
    assert.deepEqual(downloaded.value, { digestMismatch: false }, downloaded.output);
    return readFileSync(join(target, 'word.txt'), 'utf8');
  };
  assert.equal(await word('kept'), 'of the first');
  assert.equal(await word('made again'), 'of the second');
});
