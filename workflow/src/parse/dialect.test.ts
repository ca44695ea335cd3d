import assert from 'node:assert/strict';
import { test } from 'node:test';
import { evaluateTemplate } from '../evaluate/index.ts';
import { DIALECTS, type Dialect } from './dialect.ts';
import { parseWorkflow } from './workflow.ts';

const FILE = '.forgejo/workflows/ci.yml';

/** One job of a workflow, as a forge hands it out: what started it is not in it. */
const TASK = `name: ci
jobs:
  build:
    runs-on: docker
    if: env.CI != 'no' && success()
    container: { image: "\${{ env.IMAGE }}" }
    steps:
      - run: echo "\${{ gitea.ref }} \${{ github.ref }}"
        shell: \${{ matrix.shell }}
`;

const problemsOf = (dialect: Dialect, text: string): string[] => {
  const parsed = parseWorkflow({ file: FILE, text, dialect });
  return parsed.ok ? [] : parsed.problems.map(({ line, message }) => `${line} ${message}`);
};

test('a task of Gitea or Forgejo parses by its dialect, and not by GitHub’s', () => {
  assert.deepEqual(problemsOf('gitea', TASK), []);
  assert.deepEqual(problemsOf('forgejo', TASK), []);
  const github = problemsOf('github', TASK).join('\n');
  assert.match(github, /1 Required property is missing: on/);
  assert.match(github, /6 Unrecognized named-value: 'env'/);
});

test('the other name of the context is the same context', () => {
  const parsed = parseWorkflow({
    file: FILE,
    text: TASK.replace('matrix.shell', 'forgejo.actor'),
    dialect: 'forgejo',
  });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const [step] = parsed.workflow.jobs[0]?.steps ?? [];
  assert.ok(step?.kind === 'run');
  const scope = { contexts: { github: { ref: 'refs/heads/x', actor: 'sh' } } };
  assert.equal(evaluateTemplate(step.script, scope), 'echo "refs/heads/x refs/heads/x"');
  assert.equal(evaluateTemplate(step.shell, scope), 'sh');
});

test('each dialect has its own additions, and GitHub none of them', () => {
  const openId = TASK.replace('    runs-on', '    enable-openid-connect: true\n    runs-on');
  assert.deepEqual(problemsOf('forgejo', openId), []);
  assert.match(problemsOf('gitea', openId).join(), /Unexpected value 'enable-openid-connect'/);
  assert.match(
    problemsOf('gitea', TASK.replace('gitea.ref', 'forgejo.ref')).join(),
    /Unrecognized named-value: 'forgejo'/,
  );
  const plain = 'on: push\njobs: { a: { runs-on: x, steps: [{ run: "${{ gitea.ref }}" }] } }';
  assert.match(problemsOf('github', plain).join(), /Unrecognized named-value: 'gitea'/);
  assert.deepEqual(problemsOf('gitea', plain), []);
});

test('what every dialect refuses stays refused: unknown keys, wrong contexts, prototypes', () => {
  for (const dialect of DIALECTS) {
    for (const [key, problem] of [
      ['constructor: 1', /Unexpected value 'constructor'/],
      ['name: "${{ secrets.X }}"', /secrets/],
    ] as const) {
      const text = `on: push\n${key}\njobs: { a: { runs-on: x, if: secrets.X, steps: [{ run: a }] } }`;
      assert.match(problemsOf(dialect, text).join('\n'), problem, dialect);
    }
  }
});
