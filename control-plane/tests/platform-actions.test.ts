/** Actions from other repositories of the platform, as an agent asks for them in the name of a job. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { CreateRun } from '@onejob/protocol';
import { SESSION_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { type Leased, TestAgent } from './_agent.ts';
import { Platform } from './_platform.ts';

const WORKFLOW = (steps: string): string =>
  `on: [push, pull_request]\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n${steps}`;
const ACTION = {
  'action.yml': 'runs: { using: node24, main: m.js }\n',
  '.github/workflows/ci.yml': WORKFLOW('      - run: a\n'),
};
const wraps = (uses: string) => ({
  ...ACTION,
  'action.yml': `runs:\n  using: composite\n  steps:\n    - uses: ${uses}\n`,
});

const platform = await Platform.start();
let agent = await TestAgent.announce(platform, { slots: 50 });
after(async () => await platform[Symbol.asyncDispose]());

type Answer = { status: number; headers: IncomingHttpHeaders; body: Buffer };

async function ask(
  { lease, jobId }: Leased,
  name: string,
  session = lease.sessionCredential,
): Promise<Answer> {
  const [, owner = '', repository = '', ref = ''] = /^(.*?)\/(.*?)@(.*)$/.exec(name) ?? [];
  const client = connectHttp2('http://agent.local', {
    createConnection: () => connectSocket(platform.controlPlane.agentSocketPath),
  });
  try {
    const query = new URLSearchParams({ owner, repository, ref }).toString();
    const stream = client.request({
      ':path': `/actions/${jobId}/1?${query}`,
      [SESSION_CREDENTIAL_HEADER]: session,
    });
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    return { status: Number(headers[':status']), headers, body: await buffer(stream) };
  } finally {
    client.close();
  }
}

const fileIn = (archive: Buffer, name: string): string =>
  execFileSync('tar', ['-xO', name], { input: archive, encoding: 'utf8' });

/** A repository that ran at a ref; its commit. */
async function ran(
  repository: string,
  ref: string,
  files: Record<string, string>,
): Promise<string> {
  const sha = await platform.snapshot(files, repository);
  await platform.createRuns({ sha, repository, ref, jobs: [] });
  return sha;
}

/** A job that runs, whose workflow has these steps. */
async function jobOf(
  steps: string,
  more: Partial<CreateRun> & { files?: Record<string, string> } = {},
): Promise<Leased> {
  const { files, ...request } = more;
  const sha = await platform.snapshot({ ...files, '.github/workflows/ci.yml': WORKFLOW(steps) });
  const { runs } = await platform.createRuns({ sha, ...request });
  const offers = await agent.poll(50);
  const offer = offers.find(({ jobId }) => jobId === runs[0]?.jobs[0]?.id);
  assert.ok(offer !== undefined);
  const leased = await agent.lease(offer);
  await leased.adopt();
  return leased;
}

test('an action that the workflow names is the commit of its tag, its branch, or itself', async () => {
  const main = await ran('acme/tool', 'refs/heads/main', ACTION);
  const v1 = await ran('acme/tool', 'refs/tags/v1', { ...ACTION, 'm.js': 'tagged' });
  await ran('acme/tool', 'refs/heads/v1', ACTION);
  const names = ['main', 'v1', main, 'v9'].map((ref) => `acme/tool@${ref}`);
  const job = await jobOf(names.map((name) => `      - uses: ${name}\n`).join(''));
  const commits = [main, v1, main, undefined];
  for (const [index, name] of names.entries()) {
    const { body, headers, status } = await ask(job, name);
    assert.equal(status, commits[index] === undefined ? 403 : 200, name);
    assert.equal(headers['onejob-action-commit'], commits[index]);
    if (status === 200) assert.equal(fileIn(body, 'action.yml'), ACTION['action.yml']);
    if (commits[index] === v1) assert.equal(fileIn(body, 'm.js'), 'tagged');
  }
});

test('what the workflow does not name is not given, but by way of composite actions of this platform', async () => {
  await ran('acme/tool', 'refs/heads/main', ACTION);
  await ran('acme/secret', 'refs/heads/main', ACTION);
  await ran('acme/wrap', 'refs/heads/main', wraps('acme/tool@main'));
  await ran('zoo/tool', 'refs/heads/main', ACTION);
  const direct = await jobOf('      - uses: zoo/tool@main\n      - uses: acme/wrap@main\n');
  assert.equal((await ask(direct, 'acme/wrap@main')).status, 200);
  assert.equal((await ask(direct, 'acme/tool@main')).status, 200);
  for (const name of ['zoo/tool@main', 'acme/none@main']) {
    const { body, status } = await ask(direct, name);
    assert.equal(status, 404, name);
    assert.equal(String(body), 'This platform has no such action.');
  }
  // What the tenant has is not to be looked for elsewhere.
  for (const name of ['acme/secret@main', 'acme/tool@v1', 'Acme/SECRET@main', 'acme/app@main']) {
    const { body, status } = await ask(direct, name);
    assert.equal(status, 403, name);
    assert.match(
      String(body),
      /is a repository of this platform, and this job's workflow does not/,
    );
  }
  const files = { 'local/action.yml': wraps('acme/secret@main')['action.yml'] };
  const local = await jobOf('      - uses: ./local\n', { files });
  assert.equal((await ask(local, 'acme/secret@main')).status, 200);
  assert.equal((await ask(local, 'acme/tool@main')).status, 403);
});

test('names have no case; a ref that never ran here is refused, and nobody else is asked for it', async () => {
  await ran('acme/tool', 'refs/heads/main', ACTION);
  const job = await jobOf('      - uses: ACME/Tool@main\n      - uses: acme/tool@gone\n');
  assert.equal((await ask(job, 'acme/tool@main')).status, 200);
  assert.equal((await ask(job, 'ACME/Tool@main')).status, 200);
  const gone = await ask(job, 'acme/tool@gone');
  assert.equal(gone.status, 403);
  assert.match(String(gone.body), /nothing of it has run here at gone/);
});

test('an archive starts no program and keeps the bytes of files, whatever the attributes of a tree say', async () => {
  const format = '$Format:%GG %H$';
  const files = {
    ...ACTION,
    '.gitattributes': '* export-subst text eol=crlf\n',
    'a.txt': `${format}\n`,
  };
  await ran('acme/subst', 'refs/heads/main', files);
  const { body } = await ask(await jobOf('      - uses: acme/subst@main\n'), 'acme/subst@main');
  assert.equal(fileIn(body, 'a.txt'), `${format}\n`);
  // A repository of before there was this rule gets it when the control plane starts.
  await platform.stop();
  await rm(join(platform.directory, 'data/repositories/acme/subst.git/info'), { recursive: true });
  await platform.startAgain();
  agent = await TestAgent.announce(platform, { slots: 50 });
  const again = await ask(await jobOf('      - uses: acme/subst@main\n'), 'acme/subst@main');
  assert.equal(fileIn(again.body, 'a.txt'), `${format}\n`);
});

test('only the session of a running job is answered', async () => {
  await ran('acme/tool', 'refs/heads/main', ACTION);
  const job = await jobOf('      - uses: acme/tool@main\n');
  const other = await jobOf('      - run: a\n');
  const stolen = await ask(job, 'acme/tool@main', other.lease.sessionCredential);
  assert.equal(stolen.status, 403);
  assert.equal((await ask(job, 'acme/tool@main')).status, 200);
  await job.finish();
  assert.equal((await ask(job, 'acme/tool@main')).status, 403);
});

/** A pull request into acme/app; undefined: the event does not say from where. */
const pullFrom = (repository: string | null | undefined) => ({
  name: 'pull_request',
  payload: {
    number: 1,
    pull_request: {
      number: 1,
      head: { repo: repository === null ? null : { full_name: repository } },
    },
  },
});

test('the run of a pull request from elsewhere is given none, unless the platform says otherwise', async () => {
  await ran('acme/tool', 'refs/heads/main', ACTION);
  const event = pullFrom('stranger/app');
  const steps = '      - uses: acme/tool@main\n';
  const closed = await ask(await jobOf(steps, { event }), 'acme/tool@main');
  assert.equal(closed.status, 403);
  assert.match(
    String(closed.body),
    /acme\/tool is a repository of this platform, which gives the run of a pull request from elsewhere no/,
  );
  for (const from of [null, undefined, 'zoo/app', 'acme/tool']) {
    const other = await jobOf(steps, { event: pullFrom(from) });
    assert.equal((await ask(other, 'acme/tool@main')).status, 403, String(from));
  }
  const inside = await jobOf(steps, { event: pullFrom('Acme/App') });
  assert.equal((await ask(inside, 'acme/tool@main')).status, 200);
  await platform.stop();
  await platform.startAgain({ personal: true });
  agent = await TestAgent.announce(platform, { slots: 50 });
  const open = await jobOf(steps, { event });
  assert.equal((await ask(open, 'acme/tool@main')).status, 200);
  // What of one's own is not here is where it came from.
  for (const name of ['acme/tool@gone', 'acme/secret@main']) {
    assert.equal((await ask(open, name)).status, 404, name);
  }
});

test('a called workflow that comes from elsewhere is given nothing of the tenant', async () => {
  await ran('acme/tool', 'refs/heads/main', ACTION);
  const text =
    'on: workflow_call\njobs: { b: { runs-on: ubuntu-latest, steps: [{ uses: acme/tool@main }] } }\n';
  const found = {
    ...{ sha: 'a'.repeat(40), fullRef: 'refs/heads/main' },
    read: async () => await Promise.resolve({ bytes: text.length, text }),
    [Symbol.asyncDispose]: async () => {},
  };
  await platform.stop();
  const elsewhere = {
    inMirrors: async () => await Promise.resolve(undefined),
    onServers: async () => await Promise.resolve(found),
  };
  await platform.startAgain({ elsewhere, personal: false });
  agent = await TestAgent.announce(platform, { slots: 50 });
  const call = 'on: push\njobs:\n  a:\n    uses: vendor/ci/.github/workflows/x.yml@main\n';
  const sha = await platform.snapshot({ '.github/workflows/ci.yml': call });
  const { runs } = await platform.createRuns({ sha });
  const ids = runs[0]?.jobs.map(({ id }) => id);
  const offer = (await agent.poll(50)).find(({ jobId }) => ids?.includes(jobId));
  assert.ok(offer !== undefined, 'the called job is not offered');
  const leased = await agent.lease(offer);
  await leased.adopt();
  const answer = await ask(leased, 'acme/tool@main');
  assert.equal(answer.status, 403);
  assert.match(String(answer.body), /the workflow of this job, of vendor\/ci, is given none/);
});
