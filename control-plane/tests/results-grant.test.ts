/** What an adopted job is granted at its agent's results endpoint. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { CreateRun } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { Platform } from './_platform.ts';
import { ONE_JOB } from './_workflows.ts';

let platform: Platform;
let agent: TestAgent;
before(async () => {
  platform = await Platform.start();
  agent = await TestAgent.announce(platform);
});
after(async () => await platform[Symbol.asyncDispose]());

const onEvent = (name: string): string => ONE_JOB.replace('push', name);

async function adopt(workflow: string, request: Partial<CreateRun>) {
  const run = await platform.runWorkflow(workflow, request);
  const leased = await agent.take();
  const answer = await leased.adopt('key');
  return { run, leased, answer };
}

test('the grant names repository, run and refs, and the task has its token, which is masked', async () => {
  const payload = { repository: { default_branch: 'main' } };
  const { run, leased, answer } = await adopt(ONE_JOB, {
    ref: 'refs/heads/topic',
    event: { name: 'push', payload },
  });
  const { token, $typeName: _, ...grant } = answer.results!;
  assert.deepEqual(grant, {
    repository: 'acme/app',
    runId: run.id,
    readableRefs: ['refs/heads/topic', 'refs/heads/main'],
    writableRef: 'refs/heads/topic',
  });
  assert.deepEqual(leased.task?.results, { token, cacheMode: 'write' });
  assert.ok(answer.maskValues.includes(token));
  assert.notEqual(token, answer.sourceToken);
  const [, claims = '', secret = ''] = token.split('.');
  assert.deepEqual(JSON.parse(Buffer.from(claims, 'base64url').toString()), {
    scp: `Actions.Results:${run.id}:${leased.jobId}`,
    ac: '[{"Scope":"refs/heads/topic","Permission":3},{"Scope":"refs/heads/main","Permission":1}]',
  });
  assert.ok(secret.length >= 43, 'nobody guesses it');
  const again = await leased.adopt('key');
  assert.notEqual(again.results?.token, token, 'made anew, as nothing of it is stored');
  assert.equal(leased.task?.results?.token, again.results?.token);
});

test('a job of a pull request is granted its merge ref to write, whatever ref its run was given', async () => {
  const event = {
    name: 'pull_request',
    payload: {
      repository: { default_branch: 'main' },
      number: 7,
      pull_request: { number: 7, base: { ref: 'release' } },
    },
  };
  const { answer } = await adopt(onEvent('pull_request'), { ref: 'refs/heads/main', event });
  assert.equal(answer.results?.writableRef, 'refs/pull/7/merge');
  assert.deepEqual(answer.results?.readableRefs, [
    'refs/pull/7/merge',
    'refs/heads/release',
    'refs/heads/main',
  ]);
});

test('a job that anybody can cause on the default branch is told that it only reads', async () => {
  const event = {
    name: 'issue_comment',
    payload: { action: 'created', repository: { default_branch: 'main' } },
  };
  const { leased, answer } = await adopt(onEvent('issue_comment'), { event });
  assert.equal(answer.results?.writableRef, '');
  assert.equal(leased.task?.results?.cacheMode, 'read');
});
