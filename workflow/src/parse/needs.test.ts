/** Needs: what can never start is named, need by need, as GitHub's own algorithm does it. */
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
  'the only need of the only job is unknown: it cannot start': [
    { a: 'nope' },
    [`${NO_START} Job 'a' depends on unknown job 'nope'.`],
  ],
  'an unknown need of the second job': [{ z: [], a: ['b', 'z'] }, [unknown('4:16', 'a', 'b')]],
  'several unknown needs of several jobs': [
    { s: [], a: ['x', 'y'], b: ['a', 'z'] },
    [
      unknown('4:16', 'a', 'x'),
      unknown('4:19', 'a', 'y'),
      cycle('5:16', 'b', 'a'),
      unknown('5:19', 'b', 'z'),
    ],
  ],
  'jobs behind one with an unknown need': [
    { s: [], a: 'nope', b: ['s', 'a'], c: 'b' },
    [unknown('4:15', 'a', 'nope'), cycle('5:19', 'b', 'a'), cycle('6:15', 'c', 'b')],
  ],
  'a job that needs itself beside one that can start': [
    { z: [], a: ['z', 'a'] },
    [cycle('4:19', 'a', 'a')],
  ],
  'a circle of two beside a job that can start': [
    { z: [], a: 'b', b: 'a' },
    [cycle('4:15', 'a', 'b'), cycle('5:15', 'b', 'a')],
  ],
  'a circle of three, and who waits for it': [
    { s: [], a: 'c', b: 'a', c: 'b', late: 'c' },
    [
      cycle('4:15', 'a', 'c'),
      cycle('5:15', 'b', 'a'),
      cycle('6:15', 'c', 'b'),
      cycle('7:18', 'late', 'c'),
    ],
  ],
  'the way from one circle to another': [
    { s: [], a: 'a', b: ['a', 'c'], c: 'b' },
    [
      cycle('4:15', 'a', 'a'),
      cycle('5:16', 'b', 'a'),
      cycle('5:19', 'b', 'c'),
      cycle('6:15', 'c', 'b'),
    ],
  ],
  'no job that can start: a circle': [{ a: 'c', b: 'a', c: 'b' }, [NO_START]],
  'no job that can start: itself': [{ a: 'a' }, [NO_START]],
  'no job that can start, and an unknown need': [
    { a: 'b', b: ['nope', 'a'] },
    [`${NO_START} Job 'b' depends on unknown job 'nope'.`],
  ],
};

for (const [name, [jobs, problems]] of Object.entries(WRONG)) {
  test(name, () => assert.deepEqual(problemsOf(workflow(jobs)), problems));
}

test('what is said is what is left when jobs are taken away one after the other', () => {
  const keys = ['a', 'b', 'c', 'd', 'e'];
  const graph = fc.record(
    Object.fromEntries(keys.map((key) => [key, fc.subarray([...keys, 'start', 'x'])])),
  );
  const kinds = new Set<string>();
  fc.assert(
    fc.property(graph, (needs) => {
      const left = new Map(Object.entries(needs).map(([key, of]) => [key, new Set(of)]));
      const ended = ['start'];
      for (let key = ended.pop(); key !== undefined; key = ended.pop()) {
        for (const [other, of] of left) {
          of.delete(key);
          if (of.size > 0) continue;
          left.delete(other);
          ended.push(other);
        }
      }
      const expected = [...left].flatMap(([key, of]) =>
        (needs[key] ?? []).filter((need) => of.has(need)).map((need) => `${key} ${need}`),
      );
      const said = problemsOf(workflow({ start: [], ...needs }))
        .map((problem) => /Job '(.)' depends on (job|unknown job) '(\w+)'/.exec(problem))
        .filter((match) => match !== null)
        .map(([, job, kind = '', need]) => {
          assert.equal(kind, need === 'x' ? 'unknown job' : 'job');
          kinds.add(kind);
          return `${job} ${need}`;
        });
      assert.deepEqual(said, expected.slice(0, 10));
    }),
  );
  assert.equal(kinds.size, 2);
});

test('needs are looked at only where every job by itself is right', () => {
  const file = 'on: push\njobs:\n  a: { needs: b, runs-on: x, steps: [{ id: 1a, run: a }] }\n';
  const said = problemsOf(file);
  assert.equal(said.length, 1);
  assert.match(said[0] ?? '', /^3:\d+ .*'1a'/);
});

test('a job is found without case, and its own key is what it is known by', () => {
  const { jobs } = parsed(workflow({ Build: [], b: ['build', 'BUILD'] }));
  assert.deepEqual(jobs[1]?.needs, ['Build']);
  assert.deepEqual(problemsOf(workflow({ z: [], A: ['b'], b: 'a' })), [
    "4:16 Job 'A' depends on job 'b' which creates a cycle in the dependency graph.",
    "5:15 Job 'b' depends on job 'a' which creates a cycle in the dependency graph.",
  ]);
});
