/** onejob's own upload-artifact and download-artifact, in jobs of real runs. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startConstellation, type Constellation } from '@onejob/testing';
import { assertRows, job, rowsOf, workflow } from './_built-in.ts';

let all: Constellation;
before(async () => {
  all = await startConstellation();
});
after(async () => await all[Symbol.asyncDispose]());

const BUILD = `
      - run: |
          mkdir -p out/deep
          echo one > out/one.txt
          echo two > out/deep/two.txt
          echo map > out/one.map
          echo log > build.log
      - id: app
        uses: actions/upload-artifact@v4
        with:
          name: app
          path: |
            out
            !out/**/*.map
          retention-days: 1
      - uses: actions/upload-artifact@v4
        with: { name: log-1, path: build.log, compression-level: 0 }
      - run: |
          test \${#SHA} = 64
          echo "id $(( ID > 0 )) url \${URL##*artifacts/} \${URL%/actions/*}"
        env:
          ID: \${{ steps.app.outputs.artifact-id }}
          SHA: \${{ steps.app.outputs.artifact-digest }}
          URL: \${{ steps.app.outputs.artifact-url }}`;
const SHOW = 'find . -type f | sort | xargs grep -H .';

test('artifacts of one job come to another: by name, by pattern, all, merged', async () => {
  const fetching = `
      - uses: actions/download-artifact@v5
        id: one
        with: { name: app, path: by-name }
      - uses: actions/download-artifact@v5
        with: { pattern: 'log-*', path: by-pattern }
      - uses: actions/download-artifact@v5
        with: { path: merged, merge-multiple: true }
      - run: echo "to \${{ steps.one.outputs.download-path == format('{0}/by-name', github.workspace) }}"
      - run: ${SHOW}`;
  const ended = await all.run({
    workflow: workflow(job('build', BUILD), job('test', fetching, '\n    needs: build')),
  });
  assert.equal(ended.run.conclusion, 'success', rowsOf(ended, 'build').join('\n'));
  assertRows(ended, 'build', [
    "Action 'actions/upload-artifact@v4' is done by onejob itself",
    'With the provided path, there will be 2 files uploaded',
    /^Artifact app has been successfully uploaded! Final size is \d+ bytes\. Artifact ID is \d+$/,
    /^id 1 url \d+ http:\/\/onejob\.localhost:\d+\/local\/test$/,
  ]);
  assertRows(ended, 'test', [
    "Action 'actions/download-artifact@v5' is done by onejob itself",
    'Total of 2 artifact(s) downloaded',
    'Download artifact has finished successfully',
    'to true',
  ]);
  assert.deepEqual(
    rowsOf(ended, 'test').filter((row) => row.startsWith('./')),
    [
      './by-name/deep/two.txt:two',
      './by-name/one.txt:one',
      './by-pattern/log-1/build.log:log',
      './merged/build.log:log',
      './merged/deep/two.txt:two',
      './merged/one.txt:one',
    ],
  );
});

test('an artifact is made once, unless it may be replaced', async () => {
  const upload = (more = ''): string => `
      - uses: actions/upload-artifact@v4
        continue-on-error: true
        with: { path: file.txt, include-hidden-files: true${more} }`;
  const steps = `
      - run: echo first > file.txt${upload()}
      - run: echo second > file.txt${upload()}${upload(', overwrite: true')}
      - uses: actions/download-artifact@v5
        with: { name: artifact, path: got }
      - run: cat got/file.txt`;
  const ended = await all.run({ workflow: workflow(job('one', steps)) });
  assert.deepEqual(
    ended.run.jobs[0]?.steps
      .filter(({ name, phase }) => phase === 'main' && name.includes('upload'))
      .map(({ outcome }) => outcome),
    ['success', 'failure', 'success'],
  );
  assertRows(ended, 'one', [
    'second',
    /^##\[error\].*Conflict: The run has an artifact with this name/,
  ]);
});

test('nothing to upload is a warning, a failure, or nothing', async () => {
  const upload = (what: string): string => `
      - uses: actions/upload-artifact@v4
        continue-on-error: true
        with: { path: nothing-*, if-no-files-found: ${what} }`;
  const steps = ['warn', 'error', 'ignore', 'perhaps'].map(upload).join('');
  const ended = await all.run({ workflow: workflow(job('one', steps)) });
  const why =
    'No files were found with the provided path: nothing-*. No artifacts will be uploaded.';
  assertRows(ended, 'one', [
    `##[warning]${why}`,
    `##[error]${why}`,
    why,
    /^##\[error\]Unrecognized if-no-files-found input\. Provided: perhaps\./,
  ]);
});

test('artifacts that are not there, or elsewhere, fail with a sentence', async () => {
  const download = (words: string): string => `
      - uses: actions/download-artifact@v5
        continue-on-error: true
        with: { ${words} }`;
  const steps = [
    'name: nothing',
    'name: a, artifact-ids: 1',
    'artifact-ids: x',
    'artifact-ids: 12345',
    "name: a, github-token: t, run-id: '7'",
  ];
  const ended = await all.run({ workflow: workflow(job('one', steps.map(download).join(''))) });
  assertRows(ended, 'one', [
    /^##\[error\]Unable to download artifact\(s\): Artifact not found for name: nothing/,
    /Inputs 'name' and 'artifact-ids' cannot be used together/,
    /Invalid artifact ID: 'x'\. Must be a number\./,
    /None of the provided artifact IDs were found/,
    /onejob gives a job the artifacts of its own run \(local\/test, run \d+\) and of no other/,
  ]);
});

test('what a pull request writes into an input is no command', async () => {
  const steps = `
      - uses: actions/upload-artifact@v4
        with:
          path: \${{ github.event.title }}
          if-no-files-found: ignore
      - run: echo "::notice::still heard"`;
  const payload = { title: 'a\n::stop-commands::x\n::warning::said' };
  const ended = await all.run({
    workflow: workflow(job('one', steps)),
    event: { name: 'push', payload },
  });
  const annotations = ended.run.jobs[0]?.annotations ?? [];
  assert.deepEqual(
    annotations.map(({ annotation }) => annotation.message),
    ['still heard'],
  );
});

test('an action of a mirror comes first, unless onejob’s own is to be used always', async () => {
  const mirrors = mkdtempSync(join(tmpdir(), 'onejob-mirrors-'));
  const place = join(mirrors, 'actions', 'upload-artifact@v4');
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, 'action.yml'), 'runs: { using: node24, main: main.js }\n');
  writeFileSync(join(place, 'main.js'), "console.log('the mirrored one');");
  const steps = `
      - uses: actions/upload-artifact@v4
        with: { path: nothing }`;
  const saidWith = async (policy: 'fallback' | 'always' | 'never'): Promise<string> => {
    const agent = { actionMirrors: [mirrors], actionsUrls: [], builtinActions: policy };
    await using one = await startConstellation({ agent });
    return rowsOf(await one.run({ workflow: workflow(job('one', steps)) }), 'one').join('\n');
  };
  try {
    assert.match(await saidWith('fallback'), /the mirrored one/);
    assert.match(await saidWith('never'), /the mirrored one/);
    assert.match(
      await saidWith('always'),
      /'actions\/upload-artifact@v4' is done by onejob itself/,
    );
  } finally {
    rmSync(mirrors, { recursive: true, force: true });
  }
});
