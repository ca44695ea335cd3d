/**
 * What the engine adds to what a workflow does, on the process driver, each beside the same programs
 * started by hand in the same run: 200 `run` steps (target: under 15 ms a step over by hand), ten
 * JavaScript actions that do nothing (under 60 ms an action over `node`), and a composite action
 * nested five deep with a `run` step at each level. The time from a request for a matrix of 256
 * jobs to all of them in the queue, beside a shell script that puts 256 files into a directory. And what a job waits for an action of 200 files of another
 * repository, when its host has it not yet and when it has, beside `git clone --depth 1` of it.
 */
import { execFile } from 'node:child_process';
import { mkdtempDisposableSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GitForge, startConstellation, type Constellation, type EndedRun } from '@onejob/testing';
import { byScript, byShell, stepsTook, writeScripts } from './by-hand.ts';
import { median, rounded } from './statistics.ts';

const execFileAsync = promisify(execFile);
const ROUNDS = 7;
const RUN_STEPS = 200;
const ACTIONS = 10;
const DEPTH = 5;
const TARGET_RUN_MS = 15;
const TARGET_ACTION_MS = 60;
const ACTION_FILES = 200;
const ACTION_FILE_BYTES = 4096;

const job = (steps: string): string =>
  `on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n${steps}`;
const WITH_CHECKOUT = '      - uses: actions/checkout@v4\n';

const MANY_STEPS = job('      - run: "true"\n'.repeat(RUN_STEPS));
const SCRIPT_ACTIONS = job(WITH_CHECKOUT + '      - uses: ./js\n'.repeat(ACTIONS));
const NESTED = job(`${WITH_CHECKOUT}      - uses: ./level1\n`);
const SIDE = Array.from({ length: 16 }, (_, n) => n).join(', ');
const MATRIX = `on: push
jobs:
  many:
    runs-on: bench
    strategy: { matrix: { a: [${SIDE}], b: [${SIDE}] } }
    steps:
      - run: "true"
`;

/** A queue as a shell script has one: a file a job, whole before it has its name. */
const ENQUEUE = `mkdir -p "$1/queue"
for ((job = 0; job < 256; job++)); do
  echo true > "$1/queue/.$job" && mv "$1/queue/.$job" "$1/queue/$job"
done`;

function levels(): Record<string, string> {
  const files: Record<string, string> = {};
  for (let level = 1; level <= DEPTH; level += 1) {
    const inner = level === DEPTH ? '' : `    - uses: ./level${level + 1}\n`;
    files[`level${level}/action.yml`] =
      `runs:\n  using: composite\n  steps:\n    - { run: "true", shell: bash }\n${inner}`;
  }
  return files;
}

const FILES = {
  ...levels(),
  'js/action.yml': 'runs: { using: node24, main: main.js }\n',
  'js/main.js': '',
};

async function beside(
  run: () => Promise<EndedRun>,
  byHand: () => number,
  count: { pieces: number; firstStep: number },
): Promise<{ jobMs: number; byHandMs: number; overByHandPerPieceMs: number }> {
  await run();
  const jobMs: number[] = [];
  const handMs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const ended = await run();
    if (ended.run.conclusion !== 'success') throw new Error(JSON.stringify(ended.logs));
    jobMs.push(stepsTook(ended, count.firstStep));
    handMs.push(byHand());
  }
  const over = (median(jobMs) - median(handMs)) / count.pieces;
  return {
    jobMs: rounded(median(jobMs)),
    byHandMs: rounded(median(handMs)),
    overByHandPerPieceMs: rounded(over, 2),
  };
}

/**
 * From the snapshot to the answer that has every job of the matrix in the queue, and the same for a
 * matrix of one: the difference is what 255 jobs cost.
 */
async function schedule(
  constellation: Constellation,
  directory: string,
): Promise<Record<string, number>> {
  const samples = { one: [] as number[], all: [] as number[] };
  const handMs: number[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [name, workflow] of [
      ['one', MATRIX.replaceAll(SIDE, '0')],
      ['all', MATRIX],
    ] as const) {
      const startMs = performance.now();
      const { jobs } = await constellation.start({ workflow });
      const tookMs = performance.now() - startMs;
      if (jobs.some(({ queuedAtMs }) => queuedAtMs === null)) throw new Error('a job still waits');
      if (round >= 0) samples[name].push(tookMs);
    }
    handMs.push(byScript(ENQUEUE, [directory]));
  }
  const [oneMs, allMs] = [median(samples.one), median(samples.all)];
  return {
    requestOf1Ms: rounded(oneMs),
    requestOf256Ms: rounded(allMs),
    perJobMs: rounded((allMs - oneMs) / 255, 2),
    byHandMs: rounded(median(handMs), 2),
    ratioToByHand: rounded(allMs / median(handMs), 2),
  };
}

/**
 * How long "Set up job" took, less the same of a job without the action. The forge is git's own server
 * on loopback, so no network hides what the host does.
 */
async function fetchActions(directory: string): Promise<Record<string, number>> {
  await using forge = await GitForge.start();
  const { commit } = forge.repository('acme/large');
  const text = (n: number): string => `${n}\n`.repeat(ACTION_FILE_BYTES / 4);
  const files = Array.from({ length: ACTION_FILES }, (_, n) => [`dist/${n}.js`, text(n)] as const);
  commit({ ...Object.fromEntries(files), 'action.yml': FILES['js/action.yml'], 'main.js': '' });
  await using constellation = await startConstellation({
    driver: 'process',
    agent: { actionsUrls: [forge.url], egress: { hazardousReachableLoopback: 'only-in-tests' } },
  });
  const readied = async (uses: string): Promise<number> => {
    const ended = await constellation.run({ workflow: job(`      - run: "true"\n${uses}`) });
    if (ended.run.conclusion !== 'success') throw new Error(JSON.stringify(ended.logs));
    const setUp = ended.run.jobs[0]?.steps.find(({ phase }) => phase === 'pre');
    return (setUp?.completedAtMs ?? Number.NaN) - (setUp?.startedAtMs ?? Number.NaN);
  };
  const samples = {
    without: [] as number[],
    first: [] as number[],
    again: [] as number[],
    pinned: [] as number[],
  };
  const clones: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    // Another commit each round: the host has none of it.
    const sha = commit({ round: String(round) });
    samples.without.push(await readied(''));
    samples.first.push(await readied('      - uses: acme/large@main\n'));
    samples.again.push(await readied('      - uses: acme/large@main\n'));
    samples.pinned.push(await readied(`      - uses: acme/large@${sha}\n`));
    const clone = join(directory, 'clone');
    const startMs = performance.now();
    await execFileAsync('git', ['clone', '--quiet', '--depth=1', `${forge.url}/acme/large`, clone]);
    clones.push(performance.now() - startMs);
    rmSync(clone, { recursive: true });
  }
  const cloneMs = median(clones);
  const firstMs = median(samples.first) - median(samples.without);
  const againMs = median(samples.again) - median(samples.without);
  const pinnedMs = median(samples.pinned) - median(samples.without);
  return {
    files: ACTION_FILES,
    firstUseMs: rounded(firstMs),
    laterUseMs: rounded(againMs),
    pinnedLaterUseMs: rounded(pinnedMs),
    cloneMs: rounded(cloneMs),
    firstUsePerClone: rounded(firstMs / cloneMs, 2),
    laterUsePerClone: rounded(againMs / cloneMs, 2),
    pinnedLaterUsePerClone: rounded(pinnedMs / cloneMs, 2),
  };
}

export async function benchActions(): Promise<Record<string, unknown>> {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-bench-'));
  const scripts = writeScripts(directory.path, RUN_STEPS);
  const nothing = join(directory.path, 'main.js');
  writeFileSync(nothing, '');
  await using constellation = await startConstellation({ driver: 'process' });
  const run = async (workflow: string): Promise<EndedRun> =>
    await constellation.run({ workflow, files: FILES });
  const runSteps = await beside(
    async () => await run(MANY_STEPS),
    () => byShell('bash -e', scripts),
    { pieces: RUN_STEPS, firstStep: 0 },
  );
  const actions = await beside(
    async () => await run(SCRIPT_ACTIONS),
    () =>
      byShell(
        process.execPath,
        Array.from({ length: ACTIONS }, () => nothing),
      ),
    { pieces: ACTIONS, firstStep: 1 },
  );
  const nested = await beside(
    async () => await run(NESTED),
    () => byShell('bash --noprofile --norc -e -o pipefail', scripts.slice(0, DEPTH)),
    { pieces: DEPTH, firstStep: 1 },
  );
  return {
    conditions: { rounds: ROUNDS, driver: 'process', node: process.version },
    runSteps: {
      steps: RUN_STEPS,
      ...runSteps,
      targetPerStepMs: TARGET_RUN_MS,
      isTargetMet: runSteps.overByHandPerPieceMs < TARGET_RUN_MS,
    },
    javaScriptActions: {
      actions: ACTIONS,
      ...actions,
      targetPerActionMs: TARGET_ACTION_MS,
      isTargetMet: actions.overByHandPerPieceMs < TARGET_ACTION_MS,
    },
    composite: { depth: DEPTH, ...nested },
    actionOfAnotherRepository: await fetchActions(directory.path),
    matrixOf256: await schedule(constellation, directory.path),
  };
}
