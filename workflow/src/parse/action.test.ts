import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAction } from './action.ts';

async function manifestOf(text: string) {
  const parsed = await parseAction({ file: 'action.yml', text });
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.manifest;
}

async function problemsOf(text: string): Promise<string[]> {
  const parsed = await parseAction({ file: 'action.yml', text });
  assert.ok(!parsed.ok, 'the file is wrong and was taken');
  return parsed.problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
}

test('a JavaScript action: its scripts, their conditions, its inputs; unknown keys are ignored', async () => {
  const manifest = await manifestOf(
    [
      'name: a',
      'author: b',
      'inputs:',
      '  Token: { description: c, required: true, default: "${{ github.token }}" }',
      '  old: { deprecationMessage: use new }',
      'outputs: { x: { description: d } }',
      'branding: { icon: nothing, color: nobody }',
      'runs: { using: NODE20, main: main.js, post: post.js, post-if: "failure() || cancelled()" }',
    ].join('\n'),
  );
  const { runs } = manifest;
  assert.ok(runs.kind === 'node');
  assert.deepEqual([runs.using, runs.main, runs.pre], ['node20', 'main.js', null]);
  assert.equal(runs.post?.condition.kind, 'or');
  assert.deepEqual(
    manifest.inputs.map(({ name, deprecation }) => [name, deprecation]),
    [
      ['Token', null],
      ['old', 'use new'],
    ],
  );
  assert.deepEqual(manifest.outputs, []);
});

test('steps of a composite action are named as GitHub names them', async () => {
  const steps = ['- { run: a, shell: sh }', '- { run: b, shell: sh }', '- { uses: o/r/p@v1 }'];
  steps.push('- { uses: ./x }', '- { id: own, run: c, shell: sh, if: failure() }');
  const { runs } = await manifestOf(`runs:\n  using: composite\n  steps:\n  ${steps.join('\n  ')}`);
  assert.ok(runs.kind === 'composite');
  assert.deepEqual(
    runs.steps.map(({ id, index }) => [index, id]),
    [
      [0, '__run'],
      [1, '__run_2'],
      [2, '__o_r_p'],
      [3, '__self'],
      [4, 'own'],
    ],
  );
  assert.deepEqual(runs.steps[4]?.condition, { kind: 'call', name: 'failure', args: [] });
});

test('a name of an input may be one of Object.prototype', async () => {
  const manifest = await manifestOf(
    'inputs: { constructor: { default: a }, __proto__: {} }\nruns: { using: docker, image: x }',
  );
  assert.deepEqual(
    manifest.inputs.map(({ name }) => name),
    ['constructor', '__proto__'],
  );
});

const WRONG: Record<string, [text: string, problem: RegExp]> = {
  'an empty file': ['', /^1:1 The action file is empty/],
  'a list': ['- a', /^1:1 /],
  'steps with the same id': [
    'runs: { using: composite, steps: [{ id: a, run: b, shell: sh }, { id: A, run: c, shell: sh }] }',
    /^1:71 The identifier 'A' may not be used more than once within the same scope/,
  ],
  'no main': ['runs:\n  using: node24\n', /^2:3 There's not enough info.*main/],
  'no steps': ['runs:\n  using: composite\n', /^2:3 There's not enough info.*steps/],
  'no main beside a post': [
    'runs:\n  using: node24\n  post: x\n',
    /^1:1 You are using a JavaScript Action but there is not/,
  ],
  'no using': ['runs:\n  main: x\n', /^1:1 Missing 'using' value/],
  'a wrong condition': [
    'runs:\n  using: node24\n  main: x\n  post: y\n  post-if: nope()',
    /^5:12 Unrecognized function: 'nope'/,
  ],
  'a step that is none': ['runs: { using: composite, steps: [{ name: a }] }', /^1:35 /],
  'a context that defaults do not have': [
    'inputs: { a: { default: "${{ secrets.X }}" } }\nruns: { using: docker, image: x }',
    /^1:26 Unrecognized named-value: 'secrets'/,
  ],
};
for (const [name, [text, problem]] of Object.entries(WRONG)) {
  test(`${name} is refused with its place`, async () => {
    assert.match((await problemsOf(text))[0] ?? '', problem);
  });
}

test('a hostile file is refused in a moment: aliases that multiply, depth, size', async () => {
  const levels = Array.from(
    { length: 9 },
    (_, n) => `x${n + 1}: &x${n + 1} [${`*x${n},`.repeat(9)}]`,
  );
  assert.match((await problemsOf(`x0: &x0 [a]\n${levels.join('\n')}`))[0] ?? '', /nodes exceeded/);
  assert.match((await problemsOf(`a: ${'['.repeat(60)}`))[0] ?? '', /depth|syntax/);
  assert.match((await problemsOf(`#${'x'.repeat(2 ** 20)}`))[0] ?? '', /bytes; the maximum is/);
});
