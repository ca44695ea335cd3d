/**
 * What the set-up costs when all is ready: the second start of `npm run demo`, up to the demo's first
 * line, over starting Node on the demo directly. Target: under 300 ms. npm itself is told apart: its
 * part is the same for every project.
 */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { median, rounded } from './statistics.ts';

const ROUNDS = 11;
const TARGET_MS = 300;
const ROOT = join(import.meta.dirname, '..', '..');
const DEMO = 'e2e/src/demo.ts';
/** Ends the demo's process where the demo would begin; the bootstrap and npm run as ever. */
const STOP = `--import=data:text/javascript,if(process.argv[1]?.endsWith('${DEMO}'))process.exit(0)`;

const STARTS = {
  node: [process.execPath, DEMO],
  bootstrap: [process.execPath, 'tools/bootstrap.mjs', 'demo'],
  npm: ['npm', 'run', '--silent', 'demo'],
} as const;

function startMs([file, ...words]: readonly [string, ...string[]]): number {
  const startedAtMs = performance.now();
  const said = execFileSync(file, words, {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: STOP },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (said.length > 0) throw new Error(`A second start says nothing, but this one said: ${said}`);
  return performance.now() - startedAtMs;
}

export function benchStart(): Record<string, unknown> {
  // Whatever a first start has to install, it installs here.
  startMs(STARTS.bootstrap);
  const samples: Record<keyof typeof STARTS, number[]> = { node: [], bootstrap: [], npm: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    samples.node.push(startMs(STARTS.node));
    samples.bootstrap.push(startMs(STARTS.bootstrap));
    samples.npm.push(startMs(STARTS.npm));
  }
  const addedMs = median(samples.bootstrap) - median(samples.node);
  return {
    conditions: { rounds: ROUNDS, node: process.version },
    nodeMs: rounded(median(samples.node)),
    bootstrapMs: rounded(median(samples.bootstrap)),
    npmRunMs: rounded(median(samples.npm)),
    addedMs: rounded(addedMs),
    addedWithNpmMs: rounded(median(samples.npm) - median(samples.node)),
    targetAddedMs: TARGET_MS,
    isTargetMet: addedMs < TARGET_MS,
  };
}
