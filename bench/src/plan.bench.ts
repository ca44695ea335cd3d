/**
 * Plan time: parse, expand and compile one matrix of 256 jobs, and parse a file of 256 jobs of
 * twenty steps. Milliseconds, one thread: medians of RUNS after WARM_UP unmeasured ones, and the very
 * first plan of a process beside them. The peer is a shell script that writes the same 256 jobs with the
 * values of their legs in their steps, in the same run.
 */
import { mkdtempDisposableSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  compileJob,
  expandJob,
  planBudget,
  type PlannedJob,
  type PlanScope,
  type Workflow,
} from '@onejob/workflow';
import { parseWorkflow } from '@onejob/workflow/parse';
import { byScript } from './by-hand.ts';
import { median, rounded } from './statistics.ts';

const RUNS = 21;
const WARM_UP = 5;
const STEPS = 20;

const step = (n: number): string =>
  `      - name: Step ${n}\n        if: matrix.os != 'none' && github.ref == 'refs/heads/main'\n        env: { N: "${n}", R: "\${{ github.ref }}" }\n        run: |\n          echo "\${{ matrix.os }} ${n}"\n          true\n`;
const STEPS_TEXT = Array.from({ length: STEPS }, (_, n) => step(n)).join('');
const jobText = (key: string, strategy: string): string =>
  `  ${key}:\n    runs-on: linux\n${strategy}    steps:\n${STEPS_TEXT}`;
const VALUES = Array.from({ length: 16 }, (_, n) => `v${n}`).join(', ');
const MATRIX = `    strategy: { matrix: { os: [${VALUES}], node: [${VALUES}] } }\n`;

/** 256 legs in one matrix. */
const MATRIX_FILE = `on: push\njobs:\n${jobText('test', MATRIX)}`;
/** 256 jobs, each with its steps written out. */
const JOBS_FILE = `on: push\njobs:\n${Array.from(
  { length: 256 },
  (_, n) =>
    `  j${n}:\n    runs-on: linux\n    steps:\n${'      - run: echo "${{ github.ref }}"\n'.repeat(STEPS)}`,
).join('')}`;

/** Into the folder named first, a file a leg. */
const BY_HAND = `for os in \${2//,/}; do
  for node in \${2//,/}; do
    for ((n = 0; n < ${STEPS}; n++)); do
      printf 'echo "%s %s"\\ntrue\\n' "$os" "$n"
    done > "$1/$os-$node"
  done
done`;

/** Milliseconds of one round, of which the files are looked at. */
function writtenByHandMs(): number {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-bench-'));
  const tookMs = byScript(BY_HAND, [directory.path, VALUES]);
  const files = readdirSync(directory.path);
  const steps = readFileSync(join(directory.path, 'v3-v7'), 'utf8').match(/^echo "v3 /gm) ?? [];
  if (files.length !== 256 || steps.length !== STEPS)
    throw new Error('the peer does something else');
  return tookMs;
}

const SCOPE: PlanScope = {
  get budget() {
    return planBudget();
  },
  ...{ github: { ref: 'refs/heads/main' }, needs: {}, vars: {}, inputs: {} },
};

function medianMs(work: () => void): number {
  const samples: number[] = [];
  for (let run = -WARM_UP; run < RUNS; run++) {
    const startMs = performance.now();
    work();
    if (run >= 0) samples.push(performance.now() - startMs);
  }
  return rounded(median(samples), 3);
}

function parse(text: string): { workflow: Workflow; job: PlannedJob } {
  const result = parseWorkflow({ file: '.github/workflows/bench.yml', text });
  const job = result.ok ? result.workflow.jobs[0] : undefined;
  if (!result.ok || job === undefined) throw new Error('the workflow of the bench does not parse');
  return { workflow: result.workflow, job };
}

function planAll(): void {
  const { workflow, job } = parse(MATRIX_FILE);
  for (const leg of expandJob(job, SCOPE)) compileJob(workflow, job, leg);
}

export async function benchPlan(): Promise<Record<string, unknown>> {
  const startMs = performance.now();
  planAll();
  const firstMs = performance.now() - startMs;
  const wholeMs = medianMs(planAll);
  const { workflow, job } = parse(MATRIX_FILE);
  const legs = expandJob(job, SCOPE);
  const handMs = median(Array.from({ length: RUNS }, writtenByHandMs));
  const compileAll = () => legs.map((leg) => compileJob(workflow, job, leg));
  return {
    conditions: { runs: RUNS, warmUp: WARM_UP, node: process.version, stepsOfEachJob: STEPS },
    matrixLegs: legs.length,
    matrixFileBytes: MATRIX_FILE.length,
    parseMs: medianMs(() => parse(MATRIX_FILE)),
    expandMs: medianMs(() => expandJob(job, SCOPE)),
    compileMs: medianMs(compileAll),
    compileToJsonMs: medianMs(() => JSON.stringify(compileAll())),
    parseExpandCompileMs: wholeMs,
    firstParseExpandCompileMs: rounded(firstMs, 3),
    byHandMs: rounded(handMs, 3),
    ratioToByHand: rounded(wholeMs / handMs, 2),
    parse256JobsOf20StepsMs: medianMs(() => parse(JOBS_FILE)),
    parse256JobsFileBytes: JOBS_FILE.length,
  };
}
