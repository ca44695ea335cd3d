/**
 * Floods: of a job's log, and of the link by a job that has taken its guest runner over. Each runs in a
 * job of its own, beside a witness: another job of the same driver, which says a row every second. The
 * host looks at what was kept, how the job ended, what its own memory did, and whether the witness's
 * rows went on coming.
 *
 * They have no control, and so do not count: the limits are the same on every platform and with every
 * driver, and there is none without them to try the same flood on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LOG_JOB_BYTES } from '@onejob/protocol';
import type { Flood, FloodAttack } from './attack.ts';
import { readReports } from './evidence.ts';
import type { Observation } from './judge.ts';
import type { EndedProbeJob, Lab } from './lab.ts';
import {
  FLOOD_MEMORY_BYTES,
  LOOK_MS,
  OBSERVED_CHARACTERS,
  SLACK_BYTES,
  WITNESS_QUIET_MS,
  WITNESS_START_MS,
} from './limits.ts';
import { floodFiles, witnessFiles } from './workflow.ts';

const NO_CONTROL: Observation = {
  outcome: 'not tried',
  why: 'there is no platform without that limit to send the same flood to',
};

export type FloodResult = { attack: Observation; control: Observation };

export async function tryFloods(
  attacks: readonly FloodAttack[],
  lab: Lab,
  driver: string,
): Promise<Map<Flood, FloodResult>> {
  const results = new Map<Flood, FloodResult>();
  for (const { flood, id } of attacks) {
    results.set(flood, { attack: await tryFlood({ flood, id }, lab, driver), control: NO_CONTROL });
  }
  return results;
}

/** What a job of a driver's flood came to. */
type Seen = {
  job: EndedProbeJob;
  /** Longest pause between two rows of the witness, until after the flood. */
  quietMs: number;
  memoryBytes: number;
};

async function tryFlood(
  attack: Pick<FloodAttack, 'flood' | 'id'>,
  lab: Lab,
  driver: string,
): Promise<Observation> {
  const job = (files: Readonly<Record<string, string>>) => ({
    ...{ driver, files, secrets: {}, vars: {} },
  });
  const stop = new AbortController();
  const witness = watchRows();
  const beside = lab.run(job(witnessFiles()), { line: witness.row, stop: stop.signal });
  // Told below; until then nobody waits for it.
  beside.catch(() => {});
  try {
    if (!(await witness.hasRow(WITNESS_START_MS))) {
      return { outcome: 'not tried', why: 'no other job ran beside it' };
    }
    using memory = watchMemory();
    witness.begin();
    const ended = await lab.run(job(floodFiles(attack)));
    await witness.hasRow(WITNESS_QUIET_MS);
    const seen = { job: ended, quietMs: witness.quietMs(), memoryBytes: memory.moreBytes() };
    return observeFlood(attack, seen);
  } finally {
    stop.abort();
    await beside.catch(() => {});
  }
}

const MEBIBYTE = 1024 * 1024;
const inMebibytes = (bytes: number): string => `${Math.round(bytes / MEBIBYTE)} MiB`;

/** Pure. */
export function observeFlood(
  { flood, id }: Pick<FloodAttack, 'flood' | 'id'>,
  { job, quietMs, memoryBytes }: Seen,
): Observation {
  const through = (seen: string): Observation => ({ outcome: 'through', seen });
  if (quietMs > WITNESS_QUIET_MS) {
    return through(`another job's rows stopped coming for ${Math.round(quietMs / 1000)} s`);
  }
  if (memoryBytes > FLOOD_MEMORY_BYTES) {
    return through(`agent and control plane took ${inMebibytes(memoryBytes)} more`);
  }
  const beside = "another job's rows went on coming";
  if (flood === 'log') {
    const kept = job.lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0);
    const dropped = job.lines.find((line) => / bytes were dropped/.test(line));
    if (kept > LOG_JOB_BYTES + SLACK_BYTES) return through(`${inMebibytes(kept)} were kept`);
    if (kept < LOG_JOB_BYTES - SLACK_BYTES) {
      const why = `only ${inMebibytes(kept)} came: ${job.ended}`;
      return { outcome: 'not tried', why: why.slice(0, OBSERVED_CHARACTERS) };
    }
    if (dropped === undefined) return through('its log ends, and does not say so');
    return {
      outcome: 'stopped',
      seen: `${inMebibytes(kept)} were kept, and its last row says what was dropped; ${beside}`,
    };
  }
  const cut = /broke the link's protocol: .*/.exec(job.ended)?.[0];
  if (cut !== undefined) {
    const seen = `the job was ended: it ${cut}`.slice(0, OBSERVED_CHARACTERS - beside.length - 2);
    return { outcome: 'stopped', seen: `${seen}; ${beside}` };
  }
  const report = readReports(job.lines).get(id);
  const said = report?.seen === 'sent' ? undefined : (report?.said ?? job.ended);
  if (said === undefined) return through('it went on after that');
  return { outcome: 'not tried', why: `the guest runner could not be had: ${said}` };
}

function watchRows() {
  let last = performance.now();
  let longest = 0;
  let rows = 0;
  const pause = (): number => performance.now() - last;
  return {
    row: (line: string): void => {
      if (!line.startsWith('witness ')) return;
      rows += 1;
      longest = Math.max(longest, pause());
      last = performance.now();
    },
    begin: (): void => {
      longest = 0;
    },
    /** One more than there were; false: none in time. */
    hasRow: async (timeMs: number): Promise<boolean> => {
      const before = rows;
      const deadline = performance.now() + timeMs;
      while (rows === before && performance.now() < deadline) await sleep(LOOK_MS);
      return rows > before;
    },
    quietMs: (): number => Math.max(longest, pause()),
  };
}

/** The most that this process, where the agent and the control plane are, took beyond what it had. */
function watchMemory() {
  const before = process.memoryUsage.rss();
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), LOOK_MS);
  return {
    moreBytes: (): number => most - before,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
