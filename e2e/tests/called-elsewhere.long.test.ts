/** Workflows of repositories that the platform does not have, from mirrors and servers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { WorkflowRepositories } from '@onejob/agent';
import { GitForge, startConstellation } from '@onejob/testing';

const FILE = '.github/workflows/shared.yml';
const called = (job: string): string =>
  `on: workflow_call\njobs: { ${job}: { runs-on: ubuntu-latest, steps: [{ run: a }] } }\n`;
const calls = (uses: string): string => `on: push\njobs:\n  call: { uses: ${uses} }\n`;

test('a called workflow is looked for as an action is: mirror, own tenant, server', async () => {
  const root = mkdtempSync(join(tmpdir(), 'onejob-elsewhere-'));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rmSync(root, { recursive: true, force: true }));
  const forge = undo.use(await GitForge.start());
  const served = forge.repository('octo/shared');
  // What an archive would leave out is read all the same.
  const sha = served.commit({
    [FILE]: called('served'),
    '.gitattributes': '.github export-ignore\n',
  });
  served.git('tag', 'v1');
  served.commit({ [FILE]: called('later') });
  const mirrored = forge.repository('octo/mirrored');
  mirrored.commit({ [FILE]: called('mirrored') });
  mirrored.git('tag', 'v1');
  const bare = join(root, 'mirrors/octo/mirrored.git');
  execFileSync('git', ['clone', '--quiet', '--bare', mirrored.directory, bare]);
  mirrored.commit({ [FILE]: called('moved') });
  mirrored.git('tag', '--force', 'v1');
  forge.repository('octo/large').commit({ [FILE]: `# ${'x'.repeat(300_000)}\n${called('a')}` });
  forge.repository('octo/own').commit({ [FILE]: called('namesake') });
  const inner = `on: workflow_call\njobs: { inner: { uses: octo/own/${FILE}@main } }\n`;
  forge.repository('zoo/outer').commit({ [FILE]: inner });
  const elsewhere = undo.use(
    new WorkflowRepositories({
      directory: join(root, 'workflows'),
      actionMirrors: [join(root, 'mirrors')],
      actionsUrls: [forge.url],
      egress: { hazardousReachableLoopback: 'only-in-tests' },
    }),
  );
  const constellation = undo.use(
    await startConstellation({ agent: false, controlPlane: { elsewhere } }),
  );
  const jobsOf = async (uses: string, repository = 'octo/app') => {
    const run = await constellation.start({ repository, workflow: calls(uses) });
    const said = run.jobs.map(({ endMessage, name }) => endMessage || name);
    return [said.at(-1), run.referencedWorkflows[0]?.sha];
  };
  await constellation.start({
    repository: 'octo/own',
    workflow: 'on: push\njobs: { a: { runs-on: ubuntu-latest, steps: [{ run: a }] } }\n',
    files: { [FILE]: called('own') },
  });
  for (const [repository, tenant] of [
    ['octo/app', 'octo'],
    ['zoo/app', 'zoo'],
  ] as const) {
    for (const ref of ['v1', sha, sha.toUpperCase()]) {
      assert.deepEqual(
        await jobsOf(`octo/shared/${FILE}@${ref}`, repository),
        ['call / served', sha],
        `${tenant} ${ref}`,
      );
    }
  }
  assert.equal((await jobsOf(`octo/shared/${FILE}@main`))[0], 'call / later');
  const { length } = forge.requests;
  assert.equal((await jobsOf(`octo/mirrored/${FILE}@v1`))[0], 'call / mirrored');
  assert.equal((await jobsOf(`octo/own/${FILE}@main`))[0], 'call / own');
  assert.equal(forge.requests.length, length, 'a server was asked');
  // Whoever is of another tenant gets what everybody gets.
  assert.equal((await jobsOf(`octo/own/${FILE}@main`, 'zoo/app'))[0], 'call / namesake');
  // So does a workflow that comes from elsewhere, whoever called it.
  assert.equal((await jobsOf(`zoo/outer/${FILE}@main`))[0], 'call / inner / namesake');
  await checkRefusals(jobsOf);
  assert.deepEqual(readdirSync(join(root, 'workflows', 'open')), [], 'what was fetched is gone');
});

async function checkRefusals(
  jobsOf: (uses: string) => Promise<(string | undefined)[]>,
): Promise<void> {
  for (const [uses, says] of [
    [`octo/none/${FILE}@v1`, /test\.yml:3:17: job 'call' cannot run: .*repository not found at/],
    [`octo/shared/${FILE}@v9`, /unable to find version `v9`/],
  ] as const) {
    assert.match((await jobsOf(uses))[0] ?? '', says);
  }
  await assert.rejects(jobsOf('octo/shared/.github/workflows/no.yml@v1'), /has no file/);
  await assert.rejects(jobsOf(`octo/large/${FILE}@main`), /maximum|larger/);
}

test('no server is reached for a called workflow that is closed to jobs', async () => {
  await using forge = await GitForge.start();
  forge.repository('octo/shared').commit({ [FILE]: called('a') });
  const root = mkdtempSync(join(tmpdir(), 'onejob-elsewhere-'));
  try {
    await using elsewhere = new WorkflowRepositories({
      directory: join(root, 'workflows'),
      actionsUrls: [forge.url],
    });
    const wanted = { owner: 'octo', repository: 'shared', ref: 'main' };
    const { signal } = new AbortController();
    const closed = await elsewhere.onServers(wanted, signal);
    assert.match(
      typeof closed === 'string' ? closed : '',
      /may not be reached from here: onejob refuses 127/,
    );
    assert.deepEqual(forge.requests, []);
    for (const wrong of [
      { ...wanted, owner: '..' },
      { ...wanted, repository: '--upload-pack=x' },
      { ...wanted, ref: '-x' },
    ]) {
      assert.equal(typeof (await elsewhere.onServers(wrong, signal)), 'string');
      assert.equal(await elsewhere.inMirrors(wrong), undefined);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
