/** Needs: unknown ones and circles are named, each at its place; nothing else is blamed for them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parsed, problemsOf } from '../../tests/_workflows.ts';

const NO_START = '3:3 The workflow must contain at least one job with no dependencies.';

/** A file of jobs on lines 3, 4, ... with the needs given; a single one is written as text. */
const workflow = (jobs: Record<string, string[] | string>): string =>
  `on: push\njobs:\n${Object.entries(jobs)
    .map(([key, needs]) => {
      const written = typeof needs === 'string' ? needs : `[${needs.join(', ')}]`;
      const line = needs.length === 0 ? '' : `needs: ${written}, `;
      return `  ${key}: { ${line}runs-on: x, steps: [{ run: a }] }\n`;
    })
    .join('')}`;

const unknown = (at: string, job: string, need: string): string =>
  `${at} Job '${job}' depends on unknown job '${need}'.`;
const cycle = (at: string, job: string, need: string): string =>
  `${at} Job '${job}' depends on job '${need}' which creates a cycle in the dependency graph.`;

/** Jobs, and the problems in them. Sentences are GitHub's. */
const WRONG: Record<string, [Record<string, string[] | string>, string[]]> = {
  'the only need of the only job': [{ a: 'nope' }, [unknown('3:15', 'a', 'nope')]],
  'an unknown need of the second job': [{ z: [], a: ['b', 'z'] }, [unknown('4:16', 'a', 'b')]],
  'several unknown needs of several jobs': [
    { s: [], a: ['x', 'y'], b: ['a', 'z'] },
    [unknown('4:16', 'a', 'x'), unknown('4:19', 'a', 'y'), unknown('5:19', 'b', 'z')],
  ],
  'a job behind one with an unknown need is not blamed': [
    { s: [], a: 'nope', b: 'a', c: 'b' },
    [unknown('4:15', 'a', 'nope')],
  ],
  'a job that needs itself beside one that can start': [
    { z: [], a: ['z', 'a'] },
    [cycle('4:19', 'a', 'a')],
  ],
  'a circle of two beside a job that can start': [
    { z: [], a: 'b', b: 'a' },
    [cycle('4:15', 'a', 'b'), cycle('5:15', 'b', 'a')],
  ],
  'a circle of three, and who waits for it is not blamed': [
    { s: [], a: 'c', b: 'a', c: 'b', late: 'c' },
    [cycle('4:15', 'a', 'c'), cycle('5:15', 'b', 'a'), cycle('6:15', 'c', 'b')],
  ],
  'the way from one circle to another is not in either': [
    { s: [], a: 'a', b: ['a', 'c'], c: 'b' },
    [cycle('4:15', 'a', 'a'), cycle('5:19', 'b', 'c'), cycle('6:15', 'c', 'b')],
  ],
  'no job that can start: a circle': [{ a: 'c', b: 'a', c: 'b' }, [NO_START]],
  'no job that can start: itself': [{ a: 'a' }, [NO_START]],
  'no job that can start, and an unknown need': [
    { a: 'b', b: ['nope', 'a'] },
    [NO_START, unknown('4:16', 'b', 'nope')],
  ],
};

for (const [name, [jobs, problems]] of Object.entries(WRONG)) {
  test(name, () => assert.deepEqual(problemsOf(workflow(jobs)), problems));
}

test('a need is said to make a cycle exactly where it leads back to its job', () => {
  const keys = ['a', 'b', 'c', 'd', 'e'];
  const graph = fc.record(Object.fromEntries(keys.map((key) => [key, fc.subarray(keys)])));
  fc.assert(
    fc.property(graph, (needs) => {
      const reaches = (from: string, to: string, seen = new Set<string>()): boolean => {
        if (from === to) return true;
        if (seen.has(from)) return false;
        seen.add(from);
        return (needs[from] ?? []).some((next) => reaches(next, to, seen));
      };
      const expected = keys.flatMap((key) =>
        (needs[key] ?? []).filter((need) => reaches(need, key)).map((need) => `${key} ${need}`),
      );
      const said = problemsOf(workflow({ start: [], ...needs }))
        .map((problem) => /Job '(.)' depends on job '(.)' which/.exec(problem))
        .filter((match) => match !== null)
        .map(([, job, need]) => `${job} ${need}`);
      assert.deepEqual(said, expected.slice(0, 10));
    }),
  );
});

test('a job is found without case, and its own key is what it is known by', () => {
  const { jobs } = parsed(workflow({ Build: [], b: ['build', 'BUILD'] }));
  assert.deepEqual(jobs[1]?.needs, ['Build']);
  assert.deepEqual(problemsOf(workflow({ z: [], A: ['b'], b: 'a' })), [
    "4:16 Job 'A' depends on job 'b' which creates a cycle in the dependency graph.",
    "5:15 Job 'b' depends on job 'a' which creates a cycle in the dependency graph.",
  ]);
});
