/** `paths` and `paths-ignore` from the event's payload to the runs it starts. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { CreatedRuns, CreateRun, Plan } from '@onejob/protocol';
import { gitIn, packOf, Platform, RUN } from './_platform.ts';

const job = 'jobs: { a: { runs-on: ubuntu-latest, steps: [{ run: a }] } }\n';
const WORKFLOWS = {
  docs: `on: { push: { paths: ['docs/**'] }, pull_request: { paths: ['docs/**'] } }\n${job}`,
  code: `on: { push: { paths-ignore: ['docs/**'] } }\n${job}`,
  all: `on: [push, pull_request]\n${job}`,
};

/** A repository whose two last commits are on the platform. */
async function prepared(platform: Platform): Promise<{ before: string; sha: string }> {
  const directory = mkdtempSync(join(platform.directory, 'work-'));
  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  };
  const commit = (): string => {
    gitIn(directory, 'add', '-A');
    gitIn(directory, 'commit', '-q', '-m', 'one');
    return gitIn(directory, 'rev-parse', 'HEAD');
  };
  gitIn(directory, 'init', '-q', '-b', 'main');
  for (const [name, text] of Object.entries(WORKFLOWS)) {
    write(`.github/workflows/${name}.yml`, text);
  }
  const before = commit();
  write('docs/page.md', 'words');
  const sha = commit();
  const sent = await platform.api(
    'POST',
    `/repositories/acme/app/snapshots?sha=${sha}`,
    packOf(directory, sha),
  );
  assert.equal(sent.status, 200, sent.text);
  return { before, sha };
}

const started = ({ runs }: CreatedRuns): string[] =>
  runs.map((run) => run.workflow.replace(/^.*\/|\.yml$/g, '')).toSorted();

test('an event starts the workflows whose paths it touched, and says why the others stay', async () => {
  await using platform = await Platform.start();
  const { before, sha } = await prepared(platform);
  const start = async (request: Partial<CreateRun>): Promise<CreatedRuns> =>
    await platform.createRuns({ sha, ...request });
  const push = (payload: Record<string, unknown>) => ({ event: { name: 'push', payload } });

  const pushed = await start(push({ before }));
  assert.deepEqual(started(pushed), ['all', 'docs']);
  assert.deepEqual(pushed.notTriggered, [
    {
      workflow: '.github/workflows/code.yml',
      why: "no changed file passes `paths-ignore` ('docs/**')",
    },
  ]);
  const again = await start(push({ before: sha }));
  assert.deepEqual(started(again), ['all']);
  assert.match(again.notTriggered[0]?.why ?? '', /^no file changed/);

  const everything = ['all', 'code', 'docs'];
  const none = '0'.repeat(40);
  assert.deepEqual(started(await start(push({ before: none, commits: [{ id: sha }] }))), [
    'all',
    'docs',
  ]);
  for (const unknown of [{}, { before: none }, { before: 'ab'.repeat(20) }, { before: 7 }]) {
    assert.deepEqual(started(await start(push(unknown))), everything, JSON.stringify(unknown));
  }
  const tag = await start({ ref: 'refs/tags/v1', ...push({ before: sha }) });
  assert.deepEqual(started(tag), everything);

  const pull = { base: { sha: before, ref: 'main' }, head: { sha, ref: 'topic' } };
  const event = (pulled: unknown) => ({
    event: { name: 'pull_request', payload: { pull_request: pulled } },
  });
  assert.deepEqual(started(await start(event(pull))), ['all', 'docs']);
  const same = await start(event({ ...pull, base: { sha, ref: 'main' } }));
  assert.deepEqual(started(same), ['all']);
});

test('a plan says the same', async () => {
  await using platform = await Platform.start();
  const { before, sha } = await prepared(platform);
  const request = { ...RUN, sha, event: { name: 'push', payload: { before } } };
  const { body } = await platform.api('POST', '/plan', request);
  assert.deepEqual(
    (body as Plan).workflows.map((one) => [one.name.slice(18), one.triggered, one.warnings]),
    [
      ['all.yml', true, []],
      ['code.yml', false, []],
      ['docs.yml', true, []],
    ],
  );
});
