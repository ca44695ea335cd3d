/**
 * Calls that make no run, or end their job: each with its place. The sentences are those of the
 * workflow parser in GitHub's runner.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestAgent } from './_agent.ts';
import { refusalOf, runFiles, RUNS } from './_called-workflows.ts';
import { Platform } from './_platform.ts';

test('a required secret that inherit does not bring ends the calling job with its place', async () => {
  await using platform = await Platform.start();
  const run = await runFiles(platform, {
    'ci.yml': `on: push
jobs:
  call: { uses: ./.github/workflows/called.yml, secrets: inherit }
`,
    'called.yml': `on: { workflow_call: { secrets: { key: { required: true } } } }
jobs: { a: { ${RUNS} } }
`,
  });
  assert.deepEqual([run.conclusion, run.jobs[0]?.endReason], ['failure', 'invalid_expression']);
  assert.match(
    run.jobs[0]?.endMessage ?? '',
    /^\.github\/workflows\/ci\.yml:3:17: .*Secret key is required, but not provided while calling/,
  );
});

test('a passed secret that does not evaluate is the problem of each called job, with the place', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  await runFiles(
    platform,
    {
      'ci.yml': `on: push
jobs:
  call:
    uses: ./.github/workflows/called.yml
    secrets: { key: '\${{ fromJSON(secrets.WRONG) }}' }
`,
      'called.yml': `on: { workflow_call: { secrets: { key: {} } } }\njobs: { a: { ${RUNS} } }\n`,
    },
    { secrets: { WRONG: 'no-json-at-all' } },
  );
  const { task } = await agent.start();
  assert.match(task?.problem ?? '', /^\.github\/workflows\/ci\.yml:5:22: /);
  assert.ok(!task?.problem?.includes('no-json-at-all'));
  assert.deepEqual(task?.secrets, {});
});

test('an input that turns out to be of another type ends its leg with the place', async () => {
  await using platform = await Platform.start();
  const run = await runFiles(
    platform,
    {
      'ci.yml': `on: push
jobs:
  call:
    uses: ./.github/workflows/called.yml
    with:
      flag: \${{ vars.FLAG }}
`,
      'called.yml': `on: { workflow_call: { inputs: { flag: { type: boolean } } } }
jobs: { a: { ${RUNS} } }
`,
    },
    { vars: { FLAG: 'true' } },
  );
  assert.equal(run.conclusion, 'failure');
  assert.match(
    run.jobs[0]?.endMessage ?? '',
    /ci\.yml:6:13: Input 'flag': Unexpected value 'true'/,
  );
});

const call = (more = '') => `on: push
jobs:
  call:
    uses: ./.github/workflows/called.yml${more}
`;
const declares = (what: string) => `on: { workflow_call: ${what} }\njobs: { a: { ${RUNS} } }\n`;
const CASES: [string, Record<string, string>, RegExp][] = [
  ['no file', { 'ci.yml': call() }, /ci\.yml:4:11: .*has no file \.github\/workflows\/called\.yml/],
  [
    'no workflow_call',
    { 'ci.yml': call(), 'called.yml': `on: push\njobs: { a: { ${RUNS} } }\n` },
    /ci\.yml:4:11: .*workflow_call key is not defined in the referenced workflow/,
  ],
  [
    'broken file',
    {
      'ci.yml': call(),
      'called.yml': 'on: workflow_call\njobs:\n  a:\n    runs-on: x\n    wrong: 1\n',
    },
    /ci\.yml:4:11: Error from called workflow \S+called\.yml \(Line: 5, Col: 5\): Unexpected value 'wrong'/,
  ],
  [
    'required input',
    {
      'ci.yml': call(),
      'called.yml': declares('{ inputs: { x: { type: string, required: true } } }'),
    },
    /ci\.yml:4:11: .*Input x is required, but not provided while calling/,
  ],
  [
    'required secret',
    { 'ci.yml': call(), 'called.yml': declares('{ secrets: { k: { required: true } } }') },
    /ci\.yml:4:11: .*Secret k is required, but not provided while calling/,
  ],
  [
    'undeclared',
    {
      'ci.yml': call('\n    with: { __proto__: 1 }\n    secrets: { constructor: 2 }'),
      'called.yml': declares(''),
    },
    /ci\.yml:5:24: Invalid input, __proto__ is not [^]*ci\.yml:6:29: Invalid secret, constructor is not/,
  ],
  [
    'wrong type',
    {
      'ci.yml': call('\n    with: { n: five }'),
      'called.yml': declares('{ inputs: { n: { type: number } } }'),
    },
    /ci\.yml:5:16: Unexpected value 'five'$/,
  ],
  [
    'wrong default',
    {
      'ci.yml': call(),
      'called.yml': declares('{ inputs: { n: { type: boolean, default: 1 } } }'),
    },
    /ci\.yml:4:11: Error from called workflow \S+called\.yml \(Line: 1, Col: 63\): Unexpected type 'NumberToken'/,
  ],
  [
    'loop',
    {
      'ci.yml': call(),
      'called.yml': `on: workflow_call\njobs:\n  b: { uses: ./.github/workflows/called.yml }\n`,
    },
    /called\.yml:3:14: The workflow calls itself/,
  ],
];

test('what is wrong with a call is said with file, line and column before there is a run', async () => {
  await using platform = await Platform.start();
  for (const [name, files, expected] of CASES) {
    const said = await refusalOf(platform, files);
    assert.ok(expected.test(said), `${name}: ${said}`);
  }
});
