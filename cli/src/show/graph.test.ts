import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlannedJobView } from '@onejob/protocol';
import { makePlan, makePlannedJob } from './_plan.ts';
import { showGraph } from './graph.ts';
import { painter } from './style.ts';

const drawnIn = (columns: number | undefined, jobs: Partial<PlannedJobView>[]): string[] =>
  showGraph(makePlan(jobs.map(makePlannedJob)), painter(false), columns)
    .split('\n')
    .slice(1);
const drawn = (...jobs: Partial<PlannedJobView>[]): string[] => drawnIn(undefined, jobs);

test('each job hangs below the job that is done last of those it needs, and names the others', () => {
  const lines = drawn(
    { key: 'deploy', needs: ['lint', 'test'], verdict: { state: 'open', why: 'if all succeed' } },
    { key: 'build' },
    { key: 'lint' },
    { key: 'test', needs: ['build'] },
    { key: 'docs', needs: ['build'] },
    { key: 'after', needs: ['docs'] },
  );
  assert.deepEqual(lines, [
    'build  yes',
    '├─ test  yes',
    '│  └─ deploy  also needs lint · if all succeed',
    '└─ docs  yes',
    '   └─ after  yes',
    'lint  yes',
  ]);
});

test('a job says its name, its machines and what they are', () => {
  const leg = (name: string) => ({ name, runsOn: [], matrix: {}, values: null });
  const many = Array.from({ length: 8 }, (_, n) => leg(`a (${n})`));
  assert.deepEqual(
    drawn(
      { key: 'a', legs: many },
      { key: 'b', name: 'Build\x1b[2J it', legs: [leg('Build it')] },
      { key: 'c', needs: ['a'], legs: null },
    ),
    [
      'a  8 machines: (0), (1), (2), (3), (4), (5) and 2 more · yes',
      '└─ c  machines known after its needs · yes',
      'b "Build it"  yes',
    ],
  );
});

test('a narrow terminal cuts lines, so that the tree stays whole', () => {
  const why = 'if everything before it has succeeded';
  const jobs = [
    { key: 'build' },
    { key: 'test', needs: ['build'], verdict: { state: 'open' as const, why } },
  ];
  assert.deepEqual(drawnIn(20, jobs), ['build  yes', '└─ test  if everyth…']);
  assert.deepEqual(drawnIn(5, jobs), ['build', '└─ t…']);
});

test('a chain of a thousand jobs is drawn', () => {
  const chain = Array.from({ length: 1000 }, (_, n) => ({
    key: `j${n}`,
    needs: n === 0 ? [] : [`j${n - 1}`],
  }));
  const lines = drawn(...chain.toReversed());
  assert.equal(lines.length, 1000);
  assert.match(lines.at(-1) ?? '', /└─ j999 {2}yes$/);
});
