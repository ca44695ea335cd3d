import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCallReference } from './reference.ts';

test('a call names a file of the same commit, or one of a repository at a ref', () => {
  assert.deepEqual(parseCallReference('./.github/workflows/x.yml'), {
    kind: 'local',
    path: '.github/workflows/x.yml',
  });
  assert.deepEqual(parseCallReference('octo/app/.github/workflows/x.yaml@feature/a@b'), {
    kind: 'repository',
    repository: 'octo/app',
    path: '.github/workflows/x.yaml',
    ref: 'feature/a@b',
  });
});

test('what is no reference is refused as GitHub says it, with what was written', () => {
  const cases: [string, RegExp][] = [
    ['./.github/workflows/x.yml@v1', /cannot specify version when calling local workflows/],
    ['octo/app/.github/workflows/x.yml', /no version specified/],
    ['octo/app/.github/workflows/x.yml@', /no version specified/],
    ['octo/app@v1', /must be prefixed with format 'owner\/repository\/' or '\.\/'/],
    ['x.yml', /must be prefixed with format/],
    ['./ci/x.yml', /must be rooted in '\.github\/workflows'/],
    ['octo/app/../.github/workflows/x.yml@v1', /must be rooted in/],
    ['./.github/workflows/deep/x.yml', /top level of the \.github\/workflows\/ directory/],
    ['./.github/workflows/../../x.yml', /top level/],
    ['./.github/workflows/x.json', /ends in \.yml or \.yaml/],
    ['./.github/workflows/.yml', /ends in \.yml or \.yaml/],
  ];
  for (const [uses, expected] of cases) {
    const parsed = parseCallReference(uses);
    assert.ok('problem' in parsed, uses);
    assert.match(parsed.problem, expected);
    assert.ok(parsed.problem.endsWith(`Actual '${uses}'`), parsed.problem);
  }
});
