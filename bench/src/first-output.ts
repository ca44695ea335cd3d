/**
 * From lease and adoption to the first output of a job's first step, on the machine that every job gets
 * today, beside a shell that is started by hand in the same machine and says the same.
 *
 * It ends where the agent sends the row on to the control plane (output-tap.ts): both ends are of the
 * host's clock. So it contains all that a user waits for: the task's way to the guest, what is before the
 * step, its shell, the pause in which the guest runner gathers rows (`LOG_FLUSH_MS`), the way back
 * and the masking. Of the shell by hand there is only the shell. The time that the guest gave the row
 * is told beside it, and not judged: the guest's clock is late by the way of the host's `Hello`.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startAgent } from '@onejob/agent';
import { startConstellation, type Constellation } from '@onejob/testing';
import { OutputTap } from './output-tap.ts';
import { median, rounded } from './statistics.ts';

const TARGET_OVER_SHELL_MS = 150;
const SHELLS = 5;
const PRINTED = 'first-output-';

/**
 * Microseconds from the start of a shell to its first line, for all files named in the arguments; what it
 * takes to end is not in it.
 */
const SHELLS_BY_HAND = `took=0
for file in "$@"; do
  start=\${EPOCHREALTIME/./}
  read -r line < <(exec bash -e "$file")
  took=$((took + \${EPOCHREALTIME/./} - start))
  wait $!
done
echo $took`;

/** The log shows scripts, too: what is printed is nowhere in this one. */
const workflowOf = (round: number): string => `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - run: echo ${PRINTED}$((${round} + 0))
      - run: |
          mkdir by-hand && cd by-hand
          for file in {1..${SHELLS}}; do echo 'echo ${PRINTED}$((${round} + 0))' > $file; done
          cat > by-hand.sh <<'EOF'
${SHELLS_BY_HAND.replaceAll(/^/gm, '          ')}
          EOF
          echo "by hand $(bash by-hand.sh {1..${SHELLS}})"
`;

type Times = {
  leaseToOutputMs: number;
  adoptionToOutputMs: number;
  /** By the clock of the guest. */
  adoptionToRowMs: number;
  shellMs: number;
};
type Round = Times & { driver: string; isRestored: boolean };

/** @param cacheDirectory where machines are saved for the restored ones */
export async function firstOutput(
  cacheDirectory: string,
  rounds: number,
): Promise<Record<string, unknown>> {
  const cold = await measured(rounds, { snapshots: false });
  const warm = await measured(rounds, { cacheDirectory }, async (runOne) => {
    const before = countOf(cacheDirectory);
    await runOne();
    while (countOf(cacheDirectory) === before) await sleep(100);
  });
  const of = (name: keyof Times): number => median(warm.map((one) => one[name]));
  const overShellMs = of('adoptionToOutputMs') - of('shellMs');
  return {
    driver: warm[0]?.driver,
    leaseToFirstOutputColdMs: rounded(median(cold.map((one) => one.leaseToOutputMs)), 0),
    leaseToFirstOutputRestoredMs: rounded(of('leaseToOutputMs'), 0),
    adoptionToFirstOutputMs: rounded(of('adoptionToOutputMs'), 0),
    adoptionToRowInGuestMs: rounded(of('adoptionToRowMs'), 0),
    shellByHandMs: rounded(of('shellMs')),
    overShellMs: rounded(overShellMs, 0),
    targetOverShellMs: TARGET_OVER_SHELL_MS,
    isTargetMet: overShellMs < TARGET_OVER_SHELL_MS,
  };
}

type AgentSettings = { snapshots: false } | { cacheDirectory: string };

/** @param before is given one run, whose times are nobody's */
async function measured(
  rounds: number,
  settings: AgentSettings,
  before: (runOne: () => Promise<unknown>) => Promise<void> = async () => {},
): Promise<Round[]> {
  await using constellation = await startConstellation({ driver: 'qemu', agent: false });
  const path = join(constellation.directory, 'tap.sock');
  await using tap = await OutputTap.open(path, constellation.controlPlane.agentSocketPath);
  await using _ = await startAgent({
    ...(await constellation.agentConfig()),
    ...settings,
    controlPlaneSocketPath: path,
  });
  await before(async () => await timesOf(constellation, tap, rounds));
  const all: Round[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const one = await timesOf(constellation, tap, round);
    if (one.isRestored === 'snapshots' in settings) throw new Error(`not as wanted: ${one.driver}`);
    all.push(one);
  }
  return all;
}

const countOf = (cacheDirectory: string): number => {
  const directory = join(cacheDirectory, 'snapshots');
  if (!existsSync(directory)) return 0;
  return readdirSync(directory).filter((name) => !name.startsWith('draft')).length;
};

async function timesOf(
  constellation: Constellation,
  tap: OutputTap,
  round: number,
): Promise<Round> {
  const printed = `${PRINTED}${round}`;
  const sent = tap.saw(printed);
  const { run, logs } = await constellation.run({ workflow: workflowOf(round) });
  const [job] = run.jobs;
  const rows = logs['one'] ?? [];
  const row = rows.find(({ step, text }) => step === 0 && text === printed);
  const said = rows.map(({ text }) => /^by hand (\d+)$/.exec(text)?.[1]).find(Boolean);
  if (
    job?.conclusion !== 'success' ||
    job.leasedAtMs === null ||
    job.adoptedAtMs === null ||
    row === undefined ||
    said === undefined
  ) {
    throw new Error(`the measured job ended ${job?.conclusion}: ${job?.endMessage}`);
  }
  const sentAtMs = await sent;
  return {
    leaseToOutputMs: sentAtMs - job.leasedAtMs,
    adoptionToOutputMs: sentAtMs - job.adoptedAtMs,
    adoptionToRowMs: row.atMs - job.adoptedAtMs,
    shellMs: Number(said) / 1000 / SHELLS,
    driver: job.driverNote ?? '',
    isRestored: 'restore' in job.phasesMs,
  };
}
