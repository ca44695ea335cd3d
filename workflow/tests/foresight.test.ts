/** What a plan can say before the run: conditions, texts, and nothing of a secret. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foreseeEntries, foreseeText, JobForesight, type PlannedJob } from '../src/index.ts';
import { parsed } from './_workflows.ts';

const GITHUB = { ref: 'refs/heads/main', event_name: 'push', event: { n: 1 } };

function jobs(text: string): PlannedJob[] {
  return parsed(`on: push\njobs:\n${text}`).jobs;
}

/** `key: if-condition needs...` to verdicts. */
function verdicts(lines: Record<string, { if?: string; needs?: string[] }>): string[] {
  const text = Object.entries(lines).map(
    ([key, job]) =>
      `  ${key}:\n    runs-on: linux\n    needs: [${(job.needs ?? []).join(', ')}]\n` +
      `${job.if === undefined ? '' : `    if: ${JSON.stringify(job.if)}\n`}    steps: [{ run: a }]\n`,
  );
  const foresight = new JobForesight(jobs(text.join('')), { github: GITHUB, vars: {}, inputs: {} });
  return Array.from(foresight.verdicts, ([key, { state, why }]) => `${key} ${state}: ${why}`);
}

test('a job without needs runs or is skipped by what its condition says', () => {
  const found = verdicts({
    a: {},
    b: { if: "github.ref == 'refs/heads/main'" },
    c: { if: "github.event_name == 'pull_request'" },
    d: { if: 'failure()' },
    e: { if: 'always() && !cancelled()' },
  });
  assert.deepEqual(found, [
    'a runs: ',
    "b runs: `if` is true: github.ref == 'refs/heads/main'",
    "c skipped: `if` is false: github.event_name == 'pull_request'",
    'd skipped: `if` is false: failure()',
    'e runs: `if` is true: always() && !cancelled()',
  ]);
});

test('a job with needs is decided by what is known of them, or said to be open', () => {
  const found = verdicts({
    never: { if: 'false' },
    a: {},
    plain: { needs: ['a'] },
    chained: { needs: ['never'] },
    further: { needs: ['chained', 'a'] },
    always: { needs: ['never', 'a'], if: 'always()' },
    skipped: { needs: ['never'], if: "always() && needs.never.result == 'success'" },
    asks: { needs: ['a'], if: "needs.a.outputs.x == '1'" },
    either: { needs: ['a'], if: 'always() && (needs.a.outputs.x || true)' },
    no: { needs: ['a'], if: 'needs.a.outputs.x && github.event.n == 2' },
    late: { if: "github.run_number == '1'" },
  });
  assert.deepEqual(found.slice(2), [
    'plain open: if a succeeds',
    'chained skipped: it needs never, which would be skipped',
    'further skipped: it needs chained, never, which would be skipped',
    'always runs: after never, a, `if` is true: always()',
    "skipped skipped: `if` is false: always() && needs.never.result == 'success'",
    "asks open: decided when a has ended: success() && (needs.a.outputs.x == '1')",
    'either runs: after a, `if` is true: always() && (needs.a.outputs.x || true)',
    'no skipped: `if` is false: needs.a.outputs.x && github.event.n == 2',
    "late open: decided when the run begins: success() && (github.run_number == '1')",
  ]);
});

test('a condition that cannot be evaluated is said, unless it may never be', () => {
  const found = verdicts({
    a: { if: "fromJSON('{')" },
    b: { needs: ['c'], if: "needs.c.outputs.x && fromJSON('{')" },
    c: {},
  });
  assert.match(found.join('\n'), /^a fails: `if` cannot be evaluated: /m);
  assert.match(found.join('\n'), /^b open: decided when c has ended/m);
});

test('every pair of a condition and one that needs its job is foreseen as the status functions say', () => {
  const conditions = ['true', 'false', 'always()', 'failure()', 'success()', '!cancelled()'];
  for (const first of conditions) {
    for (const second of conditions) {
      const [a = '', b = ''] = verdicts({ a: { if: first }, b: { if: second, needs: ['a'] } });
      const isSkipped = first === 'false' || first === 'failure()';
      assert.match(a, isSkipped ? /^a skipped/ : /^a runs/, first);
      if (second === 'false') assert.match(b, /^b skipped/);
      if (second === 'always()' || second === '!cancelled()') assert.match(b, /^b runs/);
      if (second === 'true' || second === 'success()') {
        assert.match(b, isSkipped ? /^b skipped/ : /^b open/, `${first} ${second}`);
      }
      if (second === 'failure()') assert.match(b, isSkipped ? /^b skipped/ : /^b open/);
    }
  }
});

test('values are filled in where they are known, secrets stay expressions', () => {
  const [job] = jobs(`  a:
    runs-on: linux
    env:
      REF: \${{ github.ref }} of \${{ github.run_id }} {0}
      TOKEN: x\${{ secrets.TOKEN || 'none' }}
      BOTH: \${{ format('{0}{1}', vars.A, secrets.B) }}
      LIST: \${{ toJSON(github.event) }}
      PLAIN: 7
    steps: [{ run: a }]
`);
  assert.ok(job !== undefined);
  const foresight = new JobForesight([job], { github: GITHUB, vars: { A: 'v' }, inputs: {} });
  assert.deepEqual(foreseeEntries(job.env, foresight.scopeOf(job)), [
    { name: 'REF', value: 'refs/heads/main of ${{ github.run_id }} {0}', known: false },
    { name: 'TOKEN', value: "x${{ secrets.TOKEN || 'none' }}", known: false },
    { name: 'BOTH', value: 'v${{ secrets.B }}', known: false },
    { name: 'LIST', value: '{\n  "n": 1\n}', known: true },
    { name: 'PLAIN', value: '7', known: true },
  ]);
});

test('a plan costs no more than one expression may, however many it has', () => {
  const lines = Array.from(
    { length: 400 },
    (_, n) => `      V${n}: \${{ join(github.event.many.*.text, github.event.long) }}\n`,
  );
  const [job] = jobs(
    `  a:\n    runs-on: linux\n    env:\n${lines.join('')}    steps: [{ run: a }]\n`,
  );
  assert.ok(job !== undefined);
  const event = {
    long: 'x'.repeat(10_000),
    many: Array.from({ length: 100 }, () => ({ text: 'y' })),
  };
  const foresight = new JobForesight([job], { github: { event }, vars: {}, inputs: {} });
  const entries = foreseeEntries(job.env, foresight.scopeOf(job));
  assert.equal(entries[0]?.known, true);
  assert.equal(entries.at(-1)?.known, false);
  assert.ok(entries.every(({ value }) => value.length < 1100));
  assert.equal(foreseeText('still', foresight.scopeOf(job)).text, 'still');
});
