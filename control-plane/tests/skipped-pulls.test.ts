/** A pull request whose newest commit asks to be skipped: the event does not bring its message. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Plan } from '@onejob/protocol';
import { GIT_OUTPUT_BYTES } from '../src/limits.ts';
import { gitIn, packOf, Platform, RUN } from './_platform.ts';

test('the newest commit of a pull request is read where it is, and any other asks for nothing', async () => {
  await using platform = await Platform.start();
  const directory = mkdtempSync(join(platform.directory, 'work-'));
  mkdirSync(join(directory, '.github', 'workflows'), { recursive: true });
  writeFileSync(
    join(directory, '.github', 'workflows', 'ci.yml'),
    'on: pull_request\njobs: { a: { runs-on: ubuntu-latest, steps: [{ run: a }] } }\n',
  );
  const commit = (message: string): string => {
    writeFileSync(join(directory, '.git', 'message'), message);
    gitIn(directory, 'commit', '-q', '--allow-empty', '--cleanup=verbatim', '-F', '.git/message');
    return gitIn(directory, 'rev-parse', 'HEAD');
  };
  gitIn(directory, 'init', '-q', '-b', 'main');
  gitIn(directory, 'add', '-A');
  const asked = commit('Mend it [skip ci]\n');
  const trailer = commit('Mend it\n\n\nSigned-off-by: A\nskip-checks: true\n');
  const long = commit(`[skip ci]\n${'x'.repeat(GIT_OUTPUT_BYTES)}\n`);
  const merge = commit('Merge it\n');
  const path = `/repositories/acme/app/snapshots?sha=${merge}`;
  const sent = await platform.api('POST', path, packOf(directory, merge));
  assert.equal(sent.status, 200, sent.text);

  const why = async (head: unknown): Promise<string | undefined> => {
    const payload = { pull_request: { head: { sha: head } } };
    const event = { name: 'pull_request', payload };
    const { body } = await platform.api('POST', '/plan', { ...RUN, sha: merge, event });
    const [workflow] = (body as Plan).workflows;
    return workflow?.triggered === false ? workflow.why : undefined;
  };
  assert.equal(await why(asked), "the message of its last commit says '[skip ci]'");
  assert.equal(await why(trailer), "the message of its last commit says 'skip-checks: true'");
  for (const head of [long, merge, 'ab'.repeat(20), '--all', 7, undefined]) {
    assert.equal(await why(head), undefined, String(head));
  }
});
