/**
 * One round of a proof: two jobs in turn of one driver, a third beside the first where an attack needs
 * one, and what the host sees meanwhile and afterwards.
 */
import { randomBytes } from 'node:crypto';
import {
  ASPECTS,
  REMAINS,
  type Aspect,
  type Attack,
  type Remains,
  type ReplayAttack,
  type SandboxAttack,
  type Turn,
} from './attack.ts';
import { JOB_SECRET } from './attacks/credentials.ts';
import { NEIGHBOUR } from './attacks/neighbour.ts';
import { runOnHost } from './bare.ts';
import { mergeReports, readReports, type ProbeReport, type Round } from './evidence.ts';
import type { Observation } from './judge.ts';
import type { EndedProbeJob, Lab, ProbeJob } from './lab.ts';
import { SECRET_BYTES } from './limits.ts';
import { findMonitors, lookAt } from './monitor.ts';
import { contentSearch } from './content.ts';
import { aimAll, needsNeighbour, startNeighbour } from './neighbour.ts';
import { lookAfter, watchRemains, type Remainder, type Search } from './remains.ts';
import type { Scene } from './scene/scene.ts';
import { tryScript } from './scene/tools.ts';
import { CONTENT_PROBE, jobFiles } from './workflow.ts';

export type Side = 'sandbox' | 'control';

export type Attempt = {
  side: Side;
  /** Of the jobs. */
  driver: string;
  /** Says which try made something. */
  mark: string;
  attacks: readonly Attack[];
  /** The value that the first job has as a secret, or in the control as a variable. */
  secret: string;
  scene: Scene | undefined;
  lab: Lab;
};

export type Tried = Round & {
  driver: { name: string; note: string };
  remains: ReadonlyMap<Remains, Remainder>;
  /** Of what the sandbox ran in; empty: nothing was found to look at. */
  monitor: ReadonlyMap<Aspect, Observation>;
  /** The same looks at ourselves, where the agent runs. */
  agent: ReadonlyMap<Aspect, Observation>;
};

export const newWord = (): string => randomBytes(SECRET_BYTES).toString('hex');

export async function tryAll(attempt: Attempt): Promise<Tried> {
  const { side, mark, attacks, scene, lab } = attempt;
  const inside = attacks.filter((attack) => attack.kind === 'sandbox');
  const onHost = side === 'control' ? inside.filter(({ controlOn }) => controlOn === 'host') : [];
  const inJobs = inside.filter((attack) => !onHost.includes(attack));
  const replays = side === 'control' ? [] : attacks.filter((attack) => attack.kind === 'replay');
  await scene?.begin(mark);
  const before = await lookAsHost(inJobs);
  const host = watchedBy(attempt);
  const job = (turn: Turn, taken: ReadonlyMap<string, string>, of = inJobs): ProbeJob => ({
    driver: attempt.driver,
    files: jobFiles([...of, ...replays], turn, host.content, taken),
    ...valuesOf(attempt, turn),
  });
  const values = new Map(scene?.values);
  const beside = new Map<string, ProbeReport>();
  const untried = new Map<string, string>();
  const runFirst = async (): Promise<EndedProbeJob> => {
    const value = `prove-${NEIGHBOUR}-${newWord()}`;
    const options = { lab, side, value, attacks: inJobs, replays };
    await using neighbour = needsNeighbour(inJobs, replays)
      ? await startNeighbour({ ...options, job: job('beside', new Map()) })
      : undefined;
    for (const [name, shown] of neighbour?.values ?? []) values.set(name, shown);
    for (const [id, report] of neighbour?.reports ?? []) beside.set(id, report);
    const aimed = aimAll(inJobs, neighbour);
    for (const [id, why] of aimed.untried) untried.set(id, why);
    return await lab.run(job('first', seenIn(beside), aimed.attacks), {
      running: host.watch,
      line: host.line,
    });
  };
  const first = await runFirst();
  const alone = await runAlone(inJobs, lab, job('alone', new Map()));
  const remains = await host.lookAfter(first.sandboxId);
  const bare = await runOnHost(onHost);
  const effects = await scene?.effects();
  const reports = readReports(first.lines);
  const next = needsNext(inJobs, replays) ? await lab.run(job('next', seenIn(reports))) : undefined;
  const lines = [...first.lines, ...(next?.lines ?? []), ...bare.lines];
  return {
    driver: { name: first.driver, note: first.driverNote },
    remains,
    monitor: host.monitor,
    agent: host.agent,
    reports: new Map([
      ...mergeReports(inJobs, reports, readReports(next?.lines ?? [])),
      ...[...beside].filter(([id]) => id !== NEIGHBOUR),
      ...bare.reports,
      ...alone.reports,
    ]),
    alone: alone.ends,
    untried: new Map([...untried, ...bare.untried]),
    // Some of it comes into being with the first job.
    host: new Map([...(await lookAsHost(inJobs)), ...before]),
    values,
    arrivals: effects?.arrivals ?? [],
    changes: effects?.changes ?? new Map(),
    log: lines.join('\n'),
    ended: [first.ended, next?.ended].filter((one) => one !== undefined).join('; '),
  };
}

/** Each in a job that may end with it. */
async function runAlone(attacks: readonly SandboxAttack[], lab: Lab, job: ProbeJob) {
  const reports = new Map<string, ProbeReport>();
  const ends = new Map<string, string>();
  for (const attack of attacks) {
    if (!attack.probes.some(({ turn }) => turn === 'alone')) continue;
    const files = jobFiles([attack], 'alone', '', new Map());
    const { lines, ended } = await lab.run({ ...job, files });
    for (const [id, report] of readReports(lines)) reports.set(id, report);
    ends.set(attack.id, ended);
  }
  return { reports, ends };
}

const seenIn = (reports: ReadonlyMap<string, ProbeReport>): Map<string, string> =>
  new Map([...reports].map(([id, { seen }]) => [id, seen]));

/** What the host looks at while a round's first job runs, and after it. */
function watchedBy({ side, attacks, lab, scene }: Attempt) {
  const content = contentSearch(`content-${newWord()}`, lab);
  const all = attacks.flatMap((attack) => (attack.kind === 'remains' ? [attack.remains] : []));
  // What is not written readably in a sandbox is found nowhere but where it is: in the control.
  const kinds = REMAINS.filter(
    (kind) => all.includes(kind) && (side === 'sandbox' || kind === 'content'),
  );
  const aspects = ASPECTS.filter((aspect) =>
    attacks.some((attack) => attack.kind === 'monitor' && attack.aspect === aspect),
  );
  const found = new Map<Remains, string>();
  const monitor = new Map<Aspect, Observation>();
  const agent = new Map<Aspect, Observation>();
  const { dataDirectory, engineDirectory } = lab;
  const files = new Set<string>();
  const engine =
    engineDirectory === undefined || side === 'control'
      ? undefined
      : { directory: engineDirectory, names: new Set<string>(), firstAtMs: Infinity };
  const search = (sandboxId: string): Search => ({
    ...{ dataDirectory, sandboxId, content, files, engine },
  });
  return {
    content: all.includes('content') ? content.word : '',
    line: (line: string): void => {
      if (readReports([line]).has(CONTENT_PROBE)) content.isWritten = true;
    },
    monitor,
    agent,
    watch: async (sandboxId: string, end: AbortSignal): Promise<void> => {
      const values = new Map(scene?.values);
      for (const pid of side === 'sandbox' ? findMonitors(sandboxId) : []) {
        const look = { pid, sandboxId, dataDirectory, values };
        for (const aspect of aspects) keepWorst(monitor, aspect, lookAt(aspect, look));
        const own = { ...look, pid: process.pid };
        for (const aspect of aspects) agent.set(aspect, lookAt(aspect, own));
      }
      await watchRemains(kinds, search(sandboxId), found, end);
    },
    lookAfter: async (sandboxId: string) => await lookAfter(kinds, search(sandboxId), found),
  };
}

/** Of several processes of a sandbox the one that is held least counts; one that is gone counts least. */
function keepWorst(all: Map<Aspect, Observation>, aspect: Aspect, one: Observation): void {
  const weight = { 'not tried': 0, stopped: 1, through: 2 } as const;
  const kept = all.get(aspect);
  if (kept === undefined || weight[one.outcome] > weight[kept.outcome]) all.set(aspect, one);
}

const needsNext = (attacks: readonly SandboxAttack[], replays: readonly ReplayAttack[]): boolean =>
  replays.some(({ where }) => where === 'later') ||
  attacks.some(({ probes }) => probes.some(({ turn }) => turn === 'next'));

/** The next job has no secret: what it finds of one is the first job's. */
function valuesOf({ side, secret, scene }: Attempt, turn: Turn) {
  const named = turn === 'first' ? { [JOB_SECRET]: secret } : {};
  if (side === 'sandbox') return { secrets: named, vars: {} };
  return { secrets: {}, vars: { ...named, ...(scene && { PROVE_PROXY: scene.proxy }) } };
}

/** What the host sees when it does what the probes of `alike` do. */
async function lookAsHost(attacks: readonly SandboxAttack[]): Promise<Map<string, string>> {
  const seen = new Map<string, string>();
  for (const { id, evidence, probes } of attacks) {
    const probe = probes.at(-1)?.probe;
    if (evidence.by === 'alike' && probe?.do === 'script') {
      const found = await tryScript(probe.script);
      if (found.trim() !== '') seen.set(id, found);
    }
  }
  return seen;
}
