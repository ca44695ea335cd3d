/**
 * `npm run bench [name ...]`: measurements as one JSON document. Machines are noisy: medians, and
 * ratios against a peer or a limit in the same run. Exit code 1 where a target was missed, and which; 2 for a
 * name there is none of.
 */
import { availableParallelism, cpus, totalmem } from 'node:os';
import { benchActions } from './actions.bench.ts';
import { benchClaims } from './claims.bench.ts';
import { benchColdStart } from './cold-start.bench.ts';
import { benchDisk } from './disk.bench.ts';
import { benchEgress } from './egress.bench.ts';
import { benchLink } from './link.bench.ts';
import { benchLogs } from './logs.bench.ts';
import { benchMasking } from './masking.bench.ts';
import { benchNetwork } from './network.bench.ts';
import { benchPlan } from './plan.bench.ts';
import { benchStart } from './start.bench.ts';
import { benchSteps } from './steps.bench.ts';
import { missedTargets } from './targets.ts';
import { benchWarmStart } from './warm-start.bench.ts';

const BENCHES = {
  'cold-start': benchColdStart,
  'warm-start': benchWarmStart,
  link: benchLink,
  masking: benchMasking,
  logs: benchLogs,
  claims: benchClaims,
  plan: benchPlan,
  start: benchStart,
  steps: benchSteps,
  actions: benchActions,
  egress: benchEgress,
  network: benchNetwork,
  disk: benchDisk,
} as const;

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in BENCHES));
if (unknown.length > 0) {
  process.stderr.write(
    `There is no benchmark ${unknown.join(', ')}. There are: ${Object.keys(BENCHES).join(', ')}\n`,
  );
  process.exitCode = 2;
} else {
  const report: Record<string, unknown> = {
    date: new Date().toISOString(),
    conditions: {
      cpus: availableParallelism(),
      model: cpus()[0]?.model,
      memoryBytes: totalmem(),
      node: process.version,
    },
  };
  for (const [name, bench] of Object.entries(BENCHES)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    process.stderr.write(`bench: ${name}\n`);
    report[name] = await bench();
  }
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
  const missed = missedTargets(report);
  if (missed.length > 0) {
    process.stderr.write(`Targets that were missed: ${missed.join(', ')}\n`);
    process.exitCode = 1;
  }
}
