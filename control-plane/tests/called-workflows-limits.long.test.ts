/** How deep, how many and how large calls may be. Levels and files: GitHub's limits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf, runFiles, RUNS } from './_called-workflows.ts';
import { Platform } from './_platform.ts';

test('the called workflows of a run have a limit of size together', async () => {
  await using platform = await Platform.start();
  const names = Array.from({ length: 12 }, (_, i) => `c${i}`);
  const jobs = names.map((name) => `  ${name}: { uses: ./.github/workflows/${name}.yml }\n`);
  const called = `on: workflow_call\nenv: { BIG: ${'x'.repeat(1_000_000)} }\njobs: { a: { ${RUNS} } }\n`;
  const said = await refusalOf(platform, {
    'ci.yml': `on: push\njobs:\n${jobs.join('')}`,
    ...Object.fromEntries(names.map((name) => [`${name}.yml`, called])),
  });
  assert.match(said, /ci\.yml:1:1: The workflows it calls have 12\d+ bytes in all .*10485760$/);
});

test('of very many problems a hundred are told, and the rest is counted', async () => {
  await using platform = await Platform.start();
  const given = Array.from({ length: 250 }, (_, i) => `      i${i}: x\n`).join('');
  const said = await refusalOf(platform, {
    'ci.yml': `on: push\njobs:\n  a:\n    uses: ./.github/workflows/b.yml\n    with:\n${given}`,
    'b.yml': `on: workflow_call\njobs: { a: { ${RUNS} } }\n`,
  });
  const lines = said.split('\n');
  assert.equal(lines.length, 101);
  assert.match(lines[99] ?? '', /ci\.yml:105:12: Invalid input, i99 is not defined/);
  assert.match(lines[100] ?? '', /ci\.yml:106:13: and 150 more$/);
});

test('ten levels are allowed, eleven are not; a file may call fifty others', async () => {
  await using platform = await Platform.start();
  const calls = (name: string) => `jobs: { c: { uses: ./.github/workflows/${name} } }\n`;
  const chain = (levels: number): Record<string, string> => ({
    'ci.yml': `on: push\n${calls('2.yml')}`,
    ...Object.fromEntries(
      Array.from({ length: levels - 1 }, (_, i) => [
        `${i + 2}.yml`,
        `on: workflow_call\n${i + 2 === levels ? `jobs: { c: { ${RUNS} } }\n` : calls(`${i + 3}.yml`)}`,
      ]),
    ),
  });
  const run = await runFiles(platform, chain(10));
  assert.deepEqual(
    run.jobs.map((job) => job.name),
    [Array(10).fill('c').join(' / ')],
  );
  assert.match(
    await refusalOf(platform, chain(11)),
    /10\.yml:2:20: Nested reusable workflow depth exceeded 9\.$/,
  );

  const wide = (count: number): Record<string, string> => {
    const names = Array.from({ length: count }, (_, i) => `c${i}`);
    const jobs = names.map((name) => `  ${name}: { uses: ./.github/workflows/${name}.yml }\n`);
    const called = `on: workflow_call\njobs: { a: { ${RUNS} } }\n`;
    return {
      'ci.yml': `on: push\njobs:\n${jobs.join('')}`,
      ...Object.fromEntries(names.map((name) => [`${name}.yml`, called])),
    };
  };
  assert.equal((await runFiles(platform, wide(50))).jobs.length, 50);
  assert.match(
    await refusalOf(platform, wide(51)),
    /ci\.yml:53:16: The maximum file count of 51 has been exceeded$/,
  );
});

test('a run of calls has no more jobs than a run may have', async () => {
  await using platform = await Platform.start();
  const called = `on: workflow_call\njobs:\n${Array.from({ length: 5 }, (_, i) => `  j${i}: { ${RUNS} }\n`).join('')}`;
  const values = Array.from({ length: 256 }, (_, i) => i).join(', ');
  const run = await runFiles(platform, {
    'ci.yml': `on: push
jobs:
  call:
    strategy: { matrix: { n: [${values}] }, fail-fast: false }
    uses: ./.github/workflows/called.yml
`,
    'called.yml': called,
  });
  assert.ok(run.jobs.length <= 1024 && run.jobs.length > 1000, String(run.jobs.length));
  const refused = run.jobs.filter((job) => job.conclusion === 'failure');
  assert.ok(refused.length > 0);
  assert.match(
    refused[0]?.endMessage ?? '',
    /ci\.yml:5:11: The run would have more than 1024 jobs/,
  );
});
