import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SCOPE } from '../../tests/_workflows.ts';
import { evaluateTemplate } from '../evaluate/index.ts';
import { entryOf, evaluateCondition, expandJob, jobConcurrency } from '../index.ts';
import { DIALECTS, type Dialect } from './dialect.ts';
import { parseWorkflow } from './workflow.ts';

const FILE = '.forgejo/workflows/ci.yml';

/**
 * A task as Gitea hands it out: one leg of a job, read into the fields of its `SingleWorkflow` and
 * written again, so that what was a number or a boolean in the file has quotes.
 */
const GITEA_TASK = `name: ci
"on":
  push:
    branches:
      - main
    branches-ignore:
      - dev
  issue_comment_by_mail:
env:
  IMAGE: debian:12
  TOKEN: \${{ secrets.TOKEN }}
jobs:
  build:
    name: build (linux, 24)
    runs-on: docker
    env:
      CI: "yes"
    if: env.CI != 'no' && success()
    steps:
      - id: first
        run: |
          echo "\${{ gitea.ref }} \${{ github.ref }}"
        shell: \${{ matrix.shell }}
        continue-on-error: true
        timeout-minutes: "5"
      - name: step two
        uses: actions/setup-node@v4
        with:
          check-latest: "true"
          node-version: "24"
        timeout-minutes: \${{ vars.MINUTES }}
    timeout-minutes: "10"
    continue-on-error: false
    services:
      cache:
        image: \${{ env.IMAGE }}
        env:
          PORT: "6379"
        ports:
          - 6379:6379
        cmd:
          - redis-server
          - --save
    strategy:
      fail-fast: "False"
      max-parallel: "2"
      matrix:
        node:
          - 24
        os:
          - linux
      job-index: 3
      job-total: 6
    container:
      image: \${{ env.IMAGE }}
      cmd: [sleep]
    outputs:
      made: \${{ steps.first.outputs.made }}
    concurrency:
      group: deploy
      cancel-in-progress: "true"
    permissions:
      contents: read
      releases: write
      wiki: none
`;

/** The same of Forgejo, which has expanded a called workflow into it. */
const FORGEJO_TASK = `name: ci
"on":
  workflow_call:
    inputs:
      size:
        default: 123
        type: number
env:
  IMAGE: debian:12
jobs:
  build:
    name: call.build
    runs-on:
      - docker
      - big
    if: env.IMAGE != '' && forge.ref == forgejo.ref
    steps:
      - run: echo \${{ inputs.size }}
        if: secrets.TOKEN != ''
        timeout-minutes: "1.5"
    timeout-minutes: "10"
    services:
      cache:
        image: redis
        cmd:
          - redis-server
    strategy:
      fail-fast: "true"
      max-parallel: "1"
    container:
      image: \${{ env.IMAGE }}
      entrypoint:
        - sh
      init: true
      tty: false
    concurrency:
      cancel-in-progress: "false"
      group: deploy
enable-openid-connect: true
__metadata:
  workflow_call_inputs:
    size: 123
  workflow_call_parent: call
`;
const TASKS = { gitea: GITEA_TASK, forgejo: FORGEJO_TASK } as const;

const problemsOf = (dialect: Dialect, text: string): string[] => {
  const parsed = parseWorkflow({ file: FILE, text, dialect });
  return parsed.ok ? [] : parsed.problems.map(({ line, message }) => `${line} ${message}`);
};

function parsedTask(dialect: keyof typeof TASKS, text: string = TASKS[dialect]) {
  const parsed = parseWorkflow({ file: FILE, text, dialect });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const [job] = parsed.workflow.jobs;
  assert.ok(job !== undefined);
  const scope = { ...SCOPE, workflowEnv: parsed.workflow.env };
  return { workflow: parsed.workflow, job, scope };
}

test('a task of Gitea or Forgejo parses by its dialect, and not by GitHub’s', () => {
  assert.deepEqual(problemsOf('gitea', GITEA_TASK), []);
  assert.deepEqual(problemsOf('forgejo', FORGEJO_TASK), []);
  const github = problemsOf('github', GITEA_TASK).join('\n');
  for (const one of [
    /Unexpected value 'issue_comment_by_mail'/,
    /Unrecognized named-value: 'env'/,
    /Unexpected value '10'/,
    /Unexpected value '5'/,
    /Unexpected value 'cmd'/,
    /Unexpected value 'False'/,
    /Unexpected value '2'/,
  ]) {
    assert.match(github, one);
  }
  for (const key of ['entrypoint: [sh]', 'init: true', 'tty: true', 'cmd: [sh]']) {
    const text = `on: push\njobs: { a: { runs-on: x, container: { image: i, ${key} }, steps: [{ run: a }] } }`;
    assert.match(problemsOf('github', text).join(), /Unexpected value '\w+'/, key);
    assert.deepEqual(problemsOf('forgejo', text), [], key);
  }
  assert.match(problemsOf('github', 'jobs: {}').join(), /Required property is missing: on/);
  const without = GITEA_TASK.replace(/"on":[^]*(?=env:\n {2}IMAGE)/, '');
  assert.deepEqual(problemsOf('gitea', without), []);
});

test('what a forge wrote as text is the number or the boolean it was', () => {
  const { job, scope } = parsedTask('gitea');
  assert.equal(job.timeoutMinutes, 10);
  assert.equal(job.steps[0]?.timeoutMinutes, 5);
  assert.deepEqual(entryOf(job.concurrency, 'cancel-in-progress'), true);
  assert.equal(entryOf(entryOf(job.services, 'cache') ?? null, 'cmd') !== undefined, true);
  // Texts stay texts where a text belongs.
  const [, uses] = job.steps;
  assert.ok(uses?.kind === 'uses');
  assert.equal(entryOf(uses.with, 'node-version'), '24');
  assert.equal(entryOf(job.env, 'CI'), 'yes');
  const [leg] = expandJob(job, scope);
  assert.equal(leg?.failFast, false);
  assert.equal(leg.maxParallel, 2);
  assert.deepEqual(leg.strategy, {
    'fail-fast': false,
    'job-index': 3,
    'job-total': 6,
    'max-parallel': 2,
  });
  assert.equal(jobConcurrency(job, leg, scope)?.cancelInProgress, true);
  for (const [key, text] of [
    ['timeout-minutes', '"soon"'],
    ['timeout-minutes', '""'],
    ['strategy', '{ fail-fast: "maybe" }'],
    ['strategy', '{ max-parallel: "2 or 3" }'],
    ['concurrency', '{ group: a, cancel-in-progress: "1" }'],
  ]) {
    const wrong = `jobs: { a: { runs-on: x, ${key}: ${text}, steps: [{ run: a }] } }`;
    assert.match(problemsOf('gitea', wrong).join(), /^1 Unexpected value '/, wrong);
  }
});

test('env is there for the condition, the container and the services, job over workflow', () => {
  const { job, scope } = parsedTask('gitea');
  const decide = (text: string) =>
    evaluateCondition(parsedTask('gitea', text).job, { ...scope, results: [], cancelled: false });
  assert.equal(decide(GITEA_TASK), true);
  assert.equal(decide(GITEA_TASK.replace('CI: "yes"', 'CI: "no"')), false);
  assert.equal(decide(GITEA_TASK.replace("env.CI != 'no'", "env.IMAGE == 'debian:12'")), true);
  const over = GITEA_TASK.replace('CI: "yes"', 'IMAGE: mine');
  assert.equal(decide(over.replace("env.CI != 'no'", "env.IMAGE == 'mine'")), true);
  const [leg] = expandJob(job, scope);
  assert.deepEqual(leg?.containers, { job: 'debian:12', services: ['cache'] });
  const [forgejo] = expandJob(parsedTask('forgejo').job, scope);
  assert.equal(forgejo?.containers.job, 'debian:12');
});

test('a variable that needs a secret is in nobody’s way, and never passes for an empty one', () => {
  const decide = (condition: string) => {
    const text = GITEA_TASK.replace("env.CI != 'no'", condition);
    const { job, scope } = parsedTask('gitea', text);
    return evaluateCondition(job, { ...scope, results: [], cancelled: false });
  };
  assert.equal(decide("env.NONE == '' || env.TOKEN"), true);
  for (const condition of ["env.TOKEN != ''", "contains(toJSON(env), 'x')", "join(env.*) == ''"]) {
    assert.throws(() => decide(condition), /the context 'secrets' is not available here/);
  }
  const secret = FORGEJO_TASK.replace("if: env.IMAGE != ''", 'if: secrets.TOKEN');
  const { job, scope } = parsedTask('forgejo', secret);
  assert.throws(
    () => evaluateCondition(job, { ...scope, results: [], cancelled: false }),
    /the context 'secrets' is not available here/,
  );
});

test('the other name of the context is the same context', () => {
  const { job } = parsedTask('gitea', GITEA_TASK.replace('matrix.shell', 'gitea.actor'));
  const [step] = job.steps;
  assert.ok(step?.kind === 'run');
  const scope = { contexts: { github: { ref: 'refs/heads/x', actor: 'sh' } } };
  assert.equal(evaluateTemplate(step.script, scope), 'echo "refs/heads/x refs/heads/x"\n');
  assert.equal(evaluateTemplate(step.shell, scope), 'sh');
});

test('each dialect has its own additions, and GitHub none of them', () => {
  const gitea = (from: string, to: string) => problemsOf('gitea', GITEA_TASK.replace(from, to));
  const forgejo = (from: string, to: string) =>
    problemsOf('forgejo', FORGEJO_TASK.replace(from, to)).join();
  const openId = gitea('    runs-on', '    enable-openid-connect: true\n    runs-on');
  assert.match(openId.join(), /Unexpected value 'enable-openid-connect'/);
  assert.match(gitea('name: ci', '__metadata: {}').join(), /Unexpected value '__metadata'/);
  assert.match(gitea('wiki:', 'wikis:').join(), /Unexpected value 'wikis'/);
  const scope = forgejo('    runs-on', '    permissions: { wiki: read }\n    runs-on');
  assert.match(scope, /Unexpected value 'wiki'/);
  assert.match(gitea('cmd: [sleep]', 'tty: true').join(), /Unexpected value 'tty'/);
  assert.match(gitea('gitea.ref', 'forgejo.ref').join(), /Unrecognized named-value: 'forgejo'/);
  assert.equal(forgejo('    runs-on', '    enable-openid-connect: true\n    runs-on'), '');
  assert.match(
    forgejo('      max-parallel', '      job-index: 1\n      max-parallel'),
    /'job-index'/,
  );
  const plain = 'on: push\njobs: { a: { runs-on: x, steps: [{ run: "${{ gitea.ref }}" }] } }';
  assert.match(problemsOf('github', plain).join(), /Unrecognized named-value: 'gitea'/);
  assert.deepEqual(problemsOf('gitea', plain), []);
});

test('what GitHub takes the dialects take, and as the same', () => {
  const text = `name: all
on:
  push: { branches: [main], paths-ignore: ['docs/**'] }
  schedule: [{ cron: '0 5 * * 1' }]
  workflow_dispatch: { inputs: { size: { type: choice, options: [a, b], default: a } } }
env: { A: '\${{ github.ref }}' }
concurrency: { group: g, cancel-in-progress: '\${{ github.ref != 1 }}' }
jobs:
  build:
    runs-on: { group: default, labels: [x] }
    strategy: { fail-fast: false, max-parallel: 2, matrix: { n: [1, '1', true, 1.5] } }
    timeout-minutes: '\${{ matrix.n }}'
    continue-on-error: true
    services: { db: { image: postgres, entrypoint: sh, command: run } }
    steps: [{ run: a, timeout-minutes: 5 }, { uses: ./x, with: { a: 1, b: 'true' } }]
`;
  const github = parseWorkflow({ file: FILE, text });
  assert.ok(github.ok, JSON.stringify(github));
  for (const dialect of DIALECTS) {
    assert.deepEqual(parseWorkflow({ file: FILE, text, dialect }), github, dialect);
  }
});

test('what every dialect refuses stays refused: unknown keys, wrong contexts, prototypes', () => {
  for (const dialect of DIALECTS) {
    for (const [key, problem] of [
      ['constructor: 1', /Unexpected value 'constructor'/],
      ['name: "${{ secrets.X }}"', /secrets/],
    ] as const) {
      const text = `on: push\n${key}\njobs: { a: { runs-on: x, if: steps.x, steps: [{ run: a }] } }`;
      assert.match(problemsOf(dialect, text).join('\n'), problem, dialect);
    }
  }
});
