/** The public API's border: every route asks for the token, refuses what does not fit, explains. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { TSchema } from 'typebox';
import { Check } from 'typebox/value';
import {
  CreatedRuns,
  EgressReport,
  ErrorBody,
  Health,
  Host,
  Job,
  JobAnnotations,
  LogPage,
  Plan,
  Run,
  Transition,
} from '@onejob/protocol/schemas';
import type { ApiParts } from '../src/api/api-parts.ts';
import { createApiServer } from '../src/api/server.ts';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import { callApi, Platform, RUN } from './_platform.ts';

const ONE_JOB = `on: push
jobs: { build: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }
`;

/** Every route as the server itself lists them. */
async function listRoutes(): Promise<{ method: string; url: string }[]> {
  const routes: { method: string; url: string }[] = [];
  const unused = {} as ApiParts;
  const app = createApiServer(
    { ...unused, store: { clock: {}, notifier: {} } as ApiParts['store'] },
    { apiToken: 'x', allowedHosts: undefined, onRoute: (route) => void routes.push(route) },
  );
  await app.ready();
  await app.close();
  return routes;
}

function assertFits(schema: TSchema, value: unknown): void {
  assert.ok(Check(schema, value), JSON.stringify(value).slice(0, 2000));
}

const PLAN = { ...RUN, driver: 'auto' };

/** fetch() does not let a caller choose Host: the request is written by hand. */
async function rawStatus(url: string, headers: Record<string, string>): Promise<number> {
  const { hostname, port } = new URL(url);
  return await new Promise<number>((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
    socket.write(
      `GET /api/v1/health HTTP/1.1\r\n${lines.join('\r\n')}\r\nconnection: close\r\n\r\n`,
    );
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => (answer += text));
    socket.on('error', reject);
    socket.on('end', () => resolve(Number(answer.split(' ')[1])));
  });
}

onEveryDatabase('the API', (start) => {
  test('no route answers without the token or with a wrong one', async () => {
    await using platform = await start();
    const routes = await listRoutes();
    assert.ok(routes.length >= 13, `found ${routes.length} routes`);
    const { apiSocketPath: socketPath, apiToken } = platform.controlPlane;
    const wrong = [undefined, 'x', `${apiToken}x`, apiToken.slice(1), ''];
    for (const { method, url } of routes) {
      const path = url.replace(/:\w+/g, '1');
      for (const token of wrong) {
        const answer = await callApi(
          { socketPath, ...(token === undefined ? {} : { token }) },
          method,
          path,
        );
        assert.equal(answer.status, 401, `${method} ${url} with ${token}`);
        if (method !== 'HEAD') assertFits(ErrorBody, answer.body);
      }
      const right = await callApi({ socketPath, token: apiToken }, method, path);
      assert.notEqual(right.status, 401, `${method} ${url}`);
    }
  });

  test('answers fit the schemas of the protocol', async () => {
    await using platform = await start();
    const agent = await TestAgent.announce(platform);
    const sha = await platform.snapshot({ '.github/workflows/ci.yml': ONE_JOB });
    const created = await platform.createRuns({ sha });
    assertFits(CreatedRuns, created);
    const leased = await agent.start();
    await leased.log(0, ['hello']);
    await leased.finish('steps_completed', { logRows: 1 });
    const run = created.runs[0]!;
    const read = async (path: string): Promise<unknown> => {
      const answer = await platform.api('GET', path);
      assert.equal(answer.status, 200, `${path}: ${answer.text}`);
      return answer.body;
    };
    assertFits(Health, await read('/health'));
    for (const host of ((await read('/hosts')) as { hosts: unknown[] }).hosts)
      assertFits(Host, host);
    assertFits(Run, await read(`/runs/${run.id}`));
    assertFits(Run, await read(`/runs/${run.number}`));
    assertFits(Run, await read(`/runs/${run.number}/attempts/1`));
    const { runs } = (await read('/runs?limit=5&repository=acme/app')) as { runs: unknown[] };
    assert.equal(runs.length, 1);
    for (const one of runs) assertFits(Run, one);
    assertFits(Job, await read(`/jobs/${leased.jobId}`));
    assertFits(LogPage, await read(`/jobs/${leased.jobId}/log`));
    assertFits(JobAnnotations, await read(`/jobs/${leased.jobId}/annotations`));
    assertFits(EgressReport, await read(`/jobs/${leased.jobId}/egress`));
    const { transitions } = (await read(`/jobs/${leased.jobId}/transitions`)) as {
      transitions: unknown[];
    };
    for (const one of transitions) assertFits(Transition, one);
    const request = { ...PLAN, sha };
    const plan = await platform.api('POST', '/plan', request);
    assertFits(Plan, plan.body);
    const before = (await read('/runs')) as { runs: unknown[] };
    assert.equal(before.runs.length, 1, 'a plan stores nothing');
  });

  test('what does not fit is refused with its place, and nothing is guessed', async () => {
    await using platform = await start();
    const sha = await platform.snapshot({
      '.github/workflows/ci.yml': ONE_JOB,
      'broken.yml': 'on: push\njobs:\n  a:\n    needs: nobody\n    runs-on: x\n    steps: []\n',
    });
    const good = { ...PLAN, sha };
    const unknownId = '0190b3a0-0000-7000-8000-000000000000';
    const cases: [number, string, string, string, unknown?][] = [
      [400, 'invalid_request', 'POST', '/runs', { ...good, extra: 1 }],
      [400, 'invalid_request', 'POST', '/runs', { ...good, event: { name: 'push' } }],
      [400, 'invalid_request', 'POST', '/runs', { ...good, keepSandbox: 'true' }],
      [400, 'invalid_request', 'POST', '/runs', { ...good, sha: 'HEAD' }],
      [400, 'invalid_request', 'POST', '/runs', { ...good, repository: '../etc' }],
      [400, 'invalid_request', 'POST', '/runs', { ...good, ref: 'main; rm' }],
      [400, 'invalid_request', 'POST', '/runs', { ...good, secrets: { A: 'x'.repeat(50_000) } }],
      [400, 'invalid_request', 'POST', '/runs?force=1', good],
      [400, 'invalid_request', 'POST', '/repositories/../x/snapshots?sha=1', undefined],
      [400, 'invalid_request', 'GET', '/runs?limit=many'],
      [409, 'snapshot_missing', 'POST', '/runs', { ...good, sha: 'a'.repeat(40) }],
      [422, 'no_workflow', 'POST', '/runs', { ...good, workflows: ['none.yml'] }],
      [422, 'no_workflow', 'POST', '/runs', { ...good, workflows: ['../../etc/passwd'] }],
      [422, 'unknown_job', 'POST', '/runs', { ...good, jobs: ['nobody'] }],
      [422, 'invalid_workflow', 'POST', '/runs', { ...good, workflows: ['broken.yml'] }],
      [404, 'not_found', 'GET', '/runs/7'],
      [404, 'not_found', 'GET', '/runs/no-such'],
      [404, 'not_found', 'GET', `/runs/${unknownId}/events`],
      [404, 'not_found', 'GET', `/jobs/${unknownId}`],
      [404, 'not_found', 'POST', `/jobs/${unknownId}/cancel`, { kill: false }],
      [404, 'not_found', 'GET', '/nothing'],
    ];
    for (const [status, code, method, path, body] of cases) {
      const answer = await platform.api(method, path, body);
      const what = `${method} ${path}: ${answer.text}`;
      if (path.includes('..')) {
        assert.ok(answer.status === 400 || answer.status === 404, what);
        continue;
      }
      assert.equal(answer.status, status, what);
      assertFits(ErrorBody, answer.body);
      assert.equal((answer.body as ErrorBody).error.code, code, what);
    }
    const broken = await platform.api('POST', '/runs', { ...good, workflows: ['broken.yml'] });
    const [problem] = (broken.body as ErrorBody).error.problems ?? [];
    assert.equal(problem?.file, 'broken.yml');
    assert.ok((problem?.line ?? 0) >= 3);
    const big = { ...good, event: { name: 'push', payload: { x: 'y'.repeat(27 * 1024 * 1024) } } };
    assert.equal((await platform.api('POST', '/runs', big)).status, 413);
    assert.deepEqual(platform.faults, []);
  });

  test('a client that leaves its event stream leaves nothing behind', async () => {
    await using platform = await start();
    const run = await platform.runWorkflow(ONE_JOB);
    const { apiSocketPath, apiToken } = platform.controlPlane;
    for (let client = 0; client < 20; client += 1) {
      const socket = connect(apiSocketPath);
      socket.write(
        `GET /api/v1/runs/${run.id}/events?logs=true HTTP/1.1\r\nhost: x\r\n` +
          `authorization: Bearer ${apiToken}\r\n\r\n`,
      );
      await new Promise((resolve) => socket.once('data', resolve));
      socket.destroy();
    }
    const cancelled = await platform.api('POST', `/runs/${run.id}/cancel`, { kill: true });
    assert.equal(cancelled.status, 200);
    assert.equal((await platform.events(run.id)).at(-1)?.type, 'run');
    assert.deepEqual(platform.faults, []);
  });
});

test('over TCP the token and a known host name are needed', async () => {
  await using platform = await Platform.start({
    listen: { host: '127.0.0.1', port: 0, allowedHosts: ['ci.example.org'] },
  });
  const { apiUrl, apiToken } = platform.controlPlane;
  const get = async (headers: Record<string, string>): Promise<number> =>
    await rawStatus(apiUrl ?? '', { authorization: `Bearer ${apiToken}`, ...headers });
  assert.equal(await get({ host: new URL(apiUrl ?? '').host }), 200);
  assert.equal(await get({ host: 'CI.example.org:1234' }), 200);
  assert.equal(await get({ host: 'evil.example.org' }), 403);
  assert.equal(await get({ host: '127.0.0.1', authorization: 'Bearer x' }), 401);
});
