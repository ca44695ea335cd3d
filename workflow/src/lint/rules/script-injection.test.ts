import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings, job } from './_lint.ts';

const found = (...lines: string[]): string[] => findings('script-injection', job(...lines));
const inRun = (expression: string): string[] =>
  found(`steps: [{ run: "echo \${{ ${expression} }}" }]`);

test('what strangers write is found in a script, with its place and the remedy', () => {
  assert.deepEqual(
    found('steps:', '  - run: |', '      echo hello', '      echo ${{ github.event.issue.title }}'),
    [
      '8:16 error `github.event.issue.title` is text of a stranger and becomes part of `run`, where it ' +
        'can run commands. Pass it by the environment: `env: { ISSUE_TITLE: ${{ github.event.issue.title }} }`, ' +
        'and write "$ISSUE_TITLE"',
    ],
  );
});

test('each expression of a script has its own place', () => {
  const lines = [
    'defaults: { run: { shell: "bash -c ${{ github.head_ref }} {0}" } }',
    "steps: [{ run: 'a ${{ github.sha }} ${{ github.head_ref }}' }]",
  ];
  assert.deepEqual(
    found(...lines).map((one) => one.split(' ')[0]),
    ['5:40', '6:41'],
  );
});

test("GitHub's untrusted contexts are known, however they are written", () => {
  const untrusted = [
    ...['issue', 'pull_request', 'discussion'].flatMap((of) => [`${of}.title`, `${of}.body`]),
    ...['comment.body', 'review.body', 'review_comment.body', 'pages.*.page_name'],
    ...['commits.*.message', 'commits[0].author.email', 'commits.*.author.name'],
    ...['head_commit.message', 'head_commit.author.email', 'head_commit.author.name'],
    ...['pull_request.head.ref', 'pull_request.head.label', "pull_request['head']['ref']"],
    ...['pull_request.head.repo.default_branch', 'workflow_run.head_branch', 'ISSUE.Title'],
  ].map((path) => `github.event.${path}`);
  for (const expression of [...untrusted, 'github.head_ref', 'GitHub.HEAD_REF']) {
    assert.equal(inRun(expression).length, 1, expression);
  }
});

test('by the rule of how a context ends, also where no list has it', () => {
  for (const path of [
    ...['pages.*.title', 'pages[0].page_name', 'changes.title.from', 'changes.body.from'],
    ...['changes.head.ref.from', 'fork.forkee.name', 'forkee.default_branch', 'release.name'],
    ...['release.body', 'milestone.title', 'review.user.email', 'pull_request.head.repo.name'],
    ...['deployment.ref', 'label.name', "check_run['NAME']", 'pull_request.labels.*.name'],
    ...['workflow_run.head_repository.default_branch', '*.title'],
  ]) {
    assert.equal(inRun(`github.event.${path}`).length, 1, path);
  }
});

test('the same ends of what the repository itself, its owners or who starts the run say are left alone', () => {
  for (const path of [
    ...['repository.name', 'repository.default_branch', 'repository.owner.name', 'ref'],
    ...['organization.name', 'pull_request.base.ref', 'pull_request.base.repo.default_branch'],
    ...['inputs.title', 'client_payload.ref', 'workflow.name', 'workflow_run.name'],
    ...['title', 'changes.from', 'pull_request.head.sha', 'issue.number', 'action'],
  ]) {
    assert.deepEqual(inRun(`github.event.${path}`), [], path);
  }
});

test('what only passes through a function or an operator is found, too', () => {
  for (const expression of [
    "format('{0}', github.head_ref)",
    'toJSON(github.event)',
    'toJSON(github)',
    "join(github.event.commits.*.message, ' ')",
    "github.head_ref || 'main'",
    "github.event_name == 'push' && github.event.head_commit.message",
    "case(github.ref == 'a', github.head_ref, 'b')",
  ]) {
    assert.equal(inRun(expression).length, 1, expression);
  }
});

test('answers that are no text of anybody are left alone', () => {
  for (const expression of [
    "github.event.issue.title == 'x'",
    "contains(github.event.pull_request.body, 'x')",
    "startsWith(github.head_ref, 'release/') && 'yes'",
    '!github.head_ref',
    'github.event.pull_request.number',
    'github.event.pull_request.head.sha',
    'github.sha',
    'github.ref_name',
    "case(github.head_ref == 'a', 'b', 'c')",
  ]) {
    assert.deepEqual(inRun(expression), [], expression);
  }
});

test('the environment is where such a text belongs, and an env context is no environment', () => {
  const safe = [
    'env: { TITLE: "${{ github.event.issue.title }}" }',
    'steps: [{ run: echo "$TITLE" }]',
  ];
  assert.deepEqual(found(...safe), []);
  const [one = '', ...more] = found(safe[0] ?? '', 'steps: [{ run: "echo ${{ env.TITLE }}" }]');
  assert.match(
    one,
    /^6:26 error `\$\{\{ env\.TITLE \}\}` puts `github\.event\.issue\.title` into `run`.*: "\$TITLE"$/,
  );
  assert.deepEqual(more, []);
  const nearer = 'steps: [{ run: "echo ${{ env.TITLE }}", env: { TITLE: fixed } }]';
  assert.deepEqual(found(safe[0] ?? '', nearer), []);
});

test('the script of actions/github-script counts, inputs of other actions do not', () => {
  const script = (uses: string, key: string) =>
    found(`steps: [{ uses: ${uses}, with: { ${key}: "\${{ github.head_ref }}" } }]`);
  assert.match(script('actions/github-script@v7', 'script')[0] ?? '', /process\.env\.HEAD_REF$/);
  assert.equal(script('Actions/GitHub-Script@v7', 'script').length, 1);
  assert.deepEqual(script('actions/github-script@v7', 'result-encoding'), []);
  assert.deepEqual(script('actions/checkout@v4', 'ref'), []);
});
