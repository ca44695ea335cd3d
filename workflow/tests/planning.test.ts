/** From a parsed workflow to legs, conditions, compiled jobs and refusals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NeedsContext, StepConclusion } from '@onejob/protocol';
import { EvaluationError } from '../src/evaluate/index.ts';
import {
  compileJob,
  evaluateCondition,
  expandJob,
  type JobLeg,
  legMatches,
  matrixReads,
  PlanError,
  type PlannedJob,
  type PlanScope,
  selectJobs,
  whyLegRefused,
  whyRefused,
} from '../src/index.ts';
import { FILE, jobWith, parsed, SCOPE } from './_workflows.ts';

const legsOf = (...lines: string[]): JobLeg[] => expandJob(jobWith(...lines).job, SCOPE);

function planProblem(lines: string[], scope: PlanScope = SCOPE): string {
  try {
    expandJob(jobWith(...lines).job, scope);
  } catch (error) {
    assert.ok(error instanceof PlanError, String(error));
    assert.equal(error.retryable, false);
    const [problem] = error.problems;
    assert.equal(problem?.file, FILE);
    return `${problem.line}:${problem.column} ${problem.message}`;
  }
  return '';
}

test('a job without a matrix has one leg', () => {
  assert.deepEqual(legsOf(), [
    {
      index: 0,
      total: 1,
      matrix: null,
      name: 'a',
      strategy: { 'fail-fast': true, 'job-index': 0, 'job-total': 1, 'max-parallel': 1 },
      runsOn: ['linux'],
      failFast: true,
      maxParallel: null,
      continueOnError: false,
      environment: null,
      containers: { job: null, services: [] },
    },
  ]);
});

test('an environment is named by its job, each leg by its own values; an empty name is none', () => {
  const environments = (...lines: string[]) => legsOf(...lines).map((leg) => leg.environment);
  assert.deepEqual(environments('environment: prod'), ['prod']);
  assert.deepEqual(environments('environment: "${{ vars.NONE }}"'), [null]);
  assert.deepEqual(
    environments(
      'strategy: { matrix: { to: [a, b] } }',
      'environment: { name: "${{ matrix.to }}", url: "${{ steps.x.outputs.y }}" }',
    ),
    ['a', 'b'],
  );
  assert.match(
    planProblem(['environment: "${{ github }}"']),
    /^5:5 .* for job 'a'. a name was expected/,
  );
});

test('legs have their place, labels and strategy, each evaluated with its own matrix', () => {
  const legs = legsOf(
    'strategy: { fail-fast: false, max-parallel: 2, matrix: { os: [linux, mac], bad: [true, false] } }',
    'runs-on: ["${{ matrix.os }}", big]',
    'continue-on-error: ${{ matrix.bad }}',
  );
  assert.deepEqual(
    legs.map((leg) => [leg.name, leg.runsOn, leg.continueOnError, leg.strategy['job-index']]),
    [
      ['a (linux, true)', ['linux', 'big'], true, 0],
      ['a (linux, false)', ['linux', 'big'], false, 1],
      ['a (mac, true)', ['mac', 'big'], true, 2],
      ['a (mac, false)', ['mac', 'big'], false, 3],
    ],
  );
  assert.ok(legs.every((leg) => !leg.failFast && leg.maxParallel === 2 && leg.total === 4));
  assert.ok(legs.every((leg) => leg.strategy['max-parallel'] === 2));
});

test('a runner group is a label of the hosts in it, beside the labels that are asked for', () => {
  const runsOn = (value: string) => expandJob(jobWith(`runs-on: ${value}`).job, SCOPE)[0]?.runsOn;
  assert.deepEqual(runsOn('{ group: Big }'), ['group:Big']);
  assert.deepEqual(runsOn('{ group: big, labels: x64 }'), ['group:big', 'x64']);
  assert.deepEqual(runsOn('{ labels: [x64, linux] }'), ['x64', 'linux']);
  const json = JSON.stringify({ group: 'big', labels: ['x64'] });
  assert.deepEqual(runsOn(`\${{ fromJSON('${json}') }}`), ['group:big', 'x64']);
});

test('a literal name gets the values behind it, a name with an expression stands alone', () => {
  const names = (name: string) =>
    legsOf(`name: ${name}`, 'strategy: { matrix: { os: [linux], n: [1.10] } }').map(
      (leg) => leg.name,
    );
  assert.deepEqual(names('Build it'), ['Build it (linux, 1.1)']);
  assert.deepEqual(names('On ${{ matrix.os }}'), ['On linux']);
  assert.deepEqual(names("''"), ['a (linux, 1.1)']);
  const [long = ''] = names('x'.repeat(120));
  assert.equal(long, `${'x'.repeat(97)}...`);
});

test('a matrix may come from JSON, whole or in part', () => {
  const scope = { ...SCOPE, vars: { M: '{"os":["a","b"],"include":[{"os":"c"}]}', L: '[1,2]' } };
  const expand = (line: string) => expandJob(jobWith(line).job, scope).map((leg) => leg.matrix);
  assert.deepEqual(expand('strategy: { matrix: "${{ fromJSON(vars.M) }}" }'), [
    { os: 'a' },
    { os: 'b' },
    { os: 'c' },
  ]);
  assert.deepEqual(expand('strategy: { matrix: { n: "${{ fromJSON(vars.L) }}" } }'), [
    { n: 1 },
    { n: 2 },
  ]);
});

test('what makes no plan is said with its place', () => {
  const error = "Error when evaluating 'strategy' for job 'a'. ";
  const cases: [string[], string][] = [
    [
      ['strategy: { matrix: { n: [] } }'],
      `5:5 ${error}Matrix vector 'n' does not contain any values`,
    ],
    [['strategy: { matrix: "${{ github.ref }}" }'], `5:5 ${error}The matrix must be a mapping`],
    [
      ['strategy: { matrix: "${{ fromJSON(github.ref) }}" }'],
      `5:26 ${error}fromJSON(): the value is not valid JSON`,
    ],
    [
      ['strategy: { max-parallel: "${{ github.ref }}" }'],
      `5:5 ${error}Unexpected 'max-parallel': a number was expected`,
    ],
    [
      ['runs-on: "${{ github.nope }}"'],
      "4:5 Error when evaluating 'runs-on' for job 'a'. a label, or a list of labels, was expected",
    ],
    [
      ['continue-on-error: "${{ github.ref }}"'],
      "5:5 Error when evaluating 'continue-on-error' for job 'a'. Unexpected value 'refs/heads/main': true or false was expected",
    ],
  ];
  for (const [lines, problem] of cases) assert.equal(planProblem(lines), problem);
  const many = Array.from({ length: 257 }, (_, i) => i).join();
  const tooMany =
    "Strategy for job 'a' produced 257 configurations which exceeds the maximum of 256 configurations";
  assert.equal(planProblem([`strategy: { matrix: { n: [${many}] } }`]), `5:15 ${tooMany}`);
  const block = ['strategy:', '  fail-fast: false', `  matrix: { n: [${many}] }`];
  assert.equal(planProblem(block), `6:7 ${tooMany}`);
});

test('a matrix of which everything is excluded is none', () => {
  const excluded = 'matrix: { n: [1, 2], exclude: [{ n: 1 }, { n: 2 }] }';
  const [leg, ...others] = legsOf(`strategy: { max-parallel: 5, fail-fast: false, ${excluded} }`);
  assert.deepEqual(others, []);
  assert.equal(leg?.name, 'a');
  assert.equal(leg?.matrix, null);
  assert.equal(leg?.total, 1);
  const strategy = { 'fail-fast': false, 'job-index': 0, 'job-total': 1, 'max-parallel': 1 };
  assert.deepEqual(leg?.strategy, strategy);
});

test('without a matrix one leg may run at a time, whatever max-parallel says', () => {
  const [leg] = legsOf('strategy: { max-parallel: 5 }');
  assert.equal(leg?.strategy['max-parallel'], 1);
});

test('legs depend on needs when strategy, name, labels or continue-on-error read it', () => {
  const depends = (...lines: string[]) => matrixReads(jobWith(...lines).job, 'needs');
  assert.equal(depends('strategy: { matrix: "${{ fromJSON(needs.b.outputs.m) }}" }'), true);
  assert.equal(depends('strategy: { matrix: { a: ["${{ NEEDS.b.outputs.m }}"] } }'), true);
  assert.equal(depends('runs-on: "${{ needs.b.outputs.os }}"'), true);
  assert.equal(depends('env: { A: "${{ needs.b.result }}" }', 'name: x needs y'), false);
});

test('a filter on matrix values keeps legs that have them, and legs without the key', () => {
  const [linux, mac] = legsOf('strategy: { matrix: { os: [linux, mac], v: [{ n: 1 }] } }');
  assert.ok(linux !== undefined && mac !== undefined);
  assert.equal(legMatches(linux, { os: ['linux', 'bsd'] }), true);
  assert.equal(legMatches(mac, { os: ['linux'] }), false);
  assert.equal(legMatches(mac, { arch: ['arm'] }), true);
  assert.equal(legMatches(mac, { v: ['{"n":1}'] }), true);
  assert.equal(legMatches(mac, { v: ['1'] }), false);
});

function holds(
  condition: string,
  results: StepConclusion[],
  cancelled = false,
  needs: NeedsContext = {},
): boolean {
  const { job } = jobWith(condition === '' ? 'env: {}' : `if: ${condition}`);
  return evaluateCondition(job, { ...SCOPE, needs, results, cancelled });
}

test('a job runs when every job before it succeeded, unless its condition asks otherwise', () => {
  assert.equal(holds('', []), true);
  assert.equal(holds('', ['success', 'success']), true);
  for (const other of ['failure', 'cancelled', 'skipped'] as const) {
    assert.equal(holds('', ['success', other]), false, other);
    assert.equal(holds('true', ['success', other]), false, other);
    assert.equal(holds('always()', ['success', other]), true, other);
    assert.equal(holds('failure()', ['success', other]), other === 'failure', other);
  }
  assert.equal(holds("github.ref == 'refs/heads/dev'", []), false);
  assert.equal(holds("${{ github.ref == 'refs/heads/main' }}", []), true);
});

test('after a cancel only always() and cancelled() hold', () => {
  assert.equal(holds('', ['success'], true), false);
  assert.equal(holds('failure()', ['failure'], true), false);
  assert.equal(holds('always()', ['cancelled'], true), true);
  assert.equal(holds('cancelled()', ['cancelled'], true), true);
  assert.equal(holds('cancelled()', ['success']), false);
});

test('status functions with names look at those jobs alone', () => {
  const needs: NeedsContext = {
    x: { result: 'failure', outputs: {} },
    y: { result: 'success', outputs: {} },
  };
  assert.equal(holds("success('y')", ['failure', 'success'], false, needs), true);
  assert.equal(holds("failure('x')", ['failure', 'success'], false, needs), true);
  assert.throws(() => holds("failure('constructor')", [], false, needs), EvaluationError);
});

test('an error in a condition carries its place', () => {
  assert.throws(() => holds('fromJSON(github.actor)', []), {
    code: 'invalid_json',
    at: { line: 5, column: 9 },
    source: 'success() && (fromJSON(github.actor))',
  });
});

const WORKFLOW = parsed(`on: push
env: { A: 1 }
defaults: { run: { shell: bash, working-directory: w } }
jobs:
  d: { runs-on: x, needs: [b, c], steps: [{ run: a }], env: { B: 2 }, defaults: { run: { shell: sh } } }
  b: { runs-on: x, needs: a, steps: [{ run: a }] }
  c: { runs-on: x, steps: [{ run: a }] }
  a: { runs-on: x, steps: [{ run: a }] }
  e: { runs-on: x, steps: [{ run: a }] }
`);

test('selected jobs come with what they need, in the order of the file', () => {
  const keys = (...chosen: string[]) => selectJobs(WORKFLOW, chosen).map((job) => job.key);
  assert.deepEqual(keys('b'), ['b', 'a']);
  assert.deepEqual(keys('d'), ['d', 'b', 'c', 'a']);
  assert.deepEqual(keys(), ['d', 'b', 'c', 'a', 'e']);
});

test('a compiled job layers env, the job over the workflow, and has the last defaults as a whole', () => {
  const job = WORKFLOW.jobs[0] as PlannedJob;
  const [leg] = expandJob(job, SCOPE);
  assert.ok(leg !== undefined);
  const compiled = compileJob(WORKFLOW, job, leg);
  assert.deepEqual(compiled.env, [
    { map: [{ key: 'A', value: '1' }] },
    { map: [{ key: 'B', value: '2' }] },
  ]);
  assert.deepEqual(compiled.defaults, { shell: 'sh', workingDirectory: null });
  assert.deepEqual([compiled.file, compiled.key, compiled.name], [FILE, 'd', 'd']);
  assert.deepEqual(JSON.parse(JSON.stringify(compiled)), compiled);
});

test('what is not there yet is refused with file and line, the first of the file', () => {
  const why = (...lines: string[]) => {
    const { workflow, job } = jobWith(...lines);
    const refused =
      whyRefused(workflow, job) ??
      expandJob(job, SCOPE).map((leg) => whyLegRefused(workflow, job, leg))[0] ??
      null;
    if (refused === null) return null;
    const place = `${FILE}:${refused.at.line}:${refused.at.column}: job 'a' cannot run: `;
    assert.ok(refused.message.startsWith(place), refused.message);
    return `${refused.at.line}: ${refused.message.slice(place.length)}`;
  };
  assert.equal(why(), null);
  for (const uses of [
    'actions/checkout@v4',
    'Actions/Checkout@0123456789012345678901234567890123456789',
  ]) {
    assert.equal(why(`steps: [{ uses: ${uses} }]`), null);
  }
  for (const uses of [
    'actions/setup-node@v4',
    'actions/checkout/sub@v4',
    'https://git.example/o/r@v1',
  ]) {
    assert.equal(why(`steps: [{ uses: "${uses}" }]`), null);
  }
  assert.equal(why('steps: [{ uses: ./local }]'), null);
  assert.match(why('steps: [{ uses: "docker://alpine:3" }]') ?? '', /a container/);
  assert.match(
    why('services: { db: { image: pg } }', 'container: node') ?? '',
    /^5: it asks for `services`/,
  );
  assert.match(
    why('container: node', 'steps: [{ uses: ./x }]') ?? '',
    /^5: it asks for a `container`/,
  );
  const empty = "${{ github.actor == 'nobody' && 'pg' || '' }}";
  assert.equal(why(`container: ${empty}`, `services: { db: { image: "${empty}" } }`), null);
  assert.match(
    why(`services: { a: { image: "${empty}" }, b: node, c: { image: pg } }`) ?? '',
    /^5: it asks for `services` \(b, c\)/,
  );
});

test('all of a container that is known is evaluated, and what is no container is refused', () => {
  const planned = (...lines: string[]) => {
    const { job } = jobWith(...lines);
    try {
      return expandJob(job, { ...SCOPE, vars: { BAD: '{', PORTS: '["80:80"]', NONE: '' } })[0]
        ?.containers;
    } catch (error) {
      return error instanceof PlanError ? error.message : error;
    }
  };
  const wrong: Readonly<Record<string, RegExp>> = {
    'container: { image: a, options: "${{ fromJSON(vars.BAD) }}" }': /:5:\d+: .*'container'/,
    'container: { image: a, options: "${{ github }}" }': /A mapping was not expected/,
    'container: { image: a, ports: ["${{ vars.NONE }}"] }': /Unexpected value ''/,
    'container: { image: a, ports: "${{ fromJSON(vars.PORTS)[0] }}" }': /Unexpected value '80:80'/,
    'container: { image: a, volumes: "${{ fromJSON(vars.BAD) }}" }': /'container'/,
    'container: { image: a, env: { A: "${{ fromJSON(vars.BAD) }}", B: "${{ secrets.X }}" } }':
      /'container'/,
    'container: { image: a, credentials: { username: "${{ fromJSON(vars.BAD) }}", password: b } }':
      /'container'/,
    "container: '${{ fromJSON(''{\"picture\":\"a\"}'') }}'": /Unexpected value 'picture'/,
    "container: '${{ fromJSON(''[]'') }}'": /A sequence was not expected/,
    'services: { db: { image: a, ports: ["${{ fromJSON(vars.BAD) }}"] } }': /:5:\d+: .*'services'/,
    "services: { db: '${{ fromJSON(''{\"image\":{}}'') }}' }": /A mapping was not expected/,
  };
  for (const [line, says] of Object.entries(wrong)) {
    const found = planned(line);
    assert.equal(typeof found, 'string', line);
    assert.match(String(found), says, line);
  }
  const later = 'env: { A: "${{ secrets.X }}", B: "${{ job.status }}" }';
  const login = 'credentials: { username: "${{ env.A }}", password: "${{ secrets.P }}" }';
  assert.deepEqual(
    planned(
      `container: { image: "docker://node:24", ${later}, ${login} }`,
      `services: { db: { image: "docker://pg", ports: "\${{ fromJSON(vars.PORTS) }}", ${login} } }`,
    ),
    { job: 'node:24', services: ['db'] },
  );
  const prefix = "${{ github.actor && 'docker://' }}";
  assert.deepEqual(
    planned(`container: ${prefix}`, `services: { a: "${prefix}", b: { image: "${prefix}" } }`),
    { job: null, services: [] },
  );
});

test('no input of a checkout is refused in the plan: the action itself says what it cannot do', () => {
  const { workflow, job } = jobWith(
    'steps: [{ uses: actions/checkout@v4, with: { submodules: true, repository: a/b, depth: 1 } }]',
  );
  assert.equal(whyRefused(workflow, job), null);
});

test('a call is planned without labels, and refused with its place where there is nothing to call', () => {
  const workflow = parsed(
    'on: push\njobs:\n  a:\n    uses: ./.github/workflows/b.yml\n    with: { x: 1 }\n',
  );
  const [job] = workflow.jobs;
  assert.ok(job !== undefined);
  assert.deepEqual(expandJob(job, SCOPE)[0]?.runsOn, []);
  assert.ok(job.call !== null);
  assert.equal(whyRefused(workflow, job), null);
  const linked = { ...job, call: { ...job.call, target: { missing: 'which is nowhere' } } };
  assert.equal(
    whyRefused(workflow, linked)?.message,
    `${FILE}:4:11: job 'a' cannot run: it calls the workflow \`./.github/workflows/b.yml\`, which is nowhere`,
  );
});
