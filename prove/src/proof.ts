/**
 * A proof: every attack in a sandbox of the driver, then its control, then the verdicts.
 *
 *     sandbox   the driver under proof, the secret a secret, the guard's proxy
 *     control   the driver process, the secret an ordinary variable, a proxy that judges nothing
 *
 * Each round is at most two jobs: the first tries, the next looks for what the first left. Jobs go
 * the way of any job; a lab runs them.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  chooseAttacks,
  REMAINS,
  type Attack,
  type Remains,
  type SandboxAttack,
  type Turn,
} from './attack.ts';
import { allAttacks } from './attacks/all-attacks.ts';
import { JOB_SECRET } from './attacks/credentials.ts';
import { NEIGHBOUR } from './attacks/neighbour.ts';
import { PUBLIC_CONTROL } from './attacks/network.ts';
import type { World } from './attacks/world.ts';
import { ProveError } from './errors.ts';
import { observe, observeUse, readReports, type ProbeReport, type Round } from './evidence.ts';
import { diskOf } from './host-facts.ts';
import { judge, type Finding, type Observation } from './judge.ts';
import { LOOK_MS, OBSERVED_CHARACTERS, SECRET_BYTES, SETTLE_MS } from './limits.ts';
import { findRemains, type Search } from './remains.ts';
import type { Scene } from './scene/scene.ts';
import { tryScript } from './scene/tools.ts';
import { jobFiles, neighbourFiles } from './workflow.ts';

export type ProbeJob = {
  driver: string;
  files: Readonly<Record<string, string>>;
  secrets: Readonly<Record<string, string>>;
  vars: Readonly<Record<string, string>>;
};

export type EndedProbeJob = {
  sandboxId: string;
  driver: string;
  driverNote: string;
  /** Rows of its log. */
  lines: readonly string[];
  /** For people: `success`, or how it ended and why. */
  ended: string;
};

export type JobWatcher = {
  /** Told of the sandbox as soon as its job runs; the end of `run` waits for it. */
  running?: (sandboxId: string, end: AbortSignal) => Promise<void>;
  line?: (line: string) => void;
  /** Ends the job at once. */
  stop?: AbortSignal;
};

/** Runs jobs on a platform of the proof's own. */
export type Lab = {
  readonly dataDirectory: string;
  run(job: ProbeJob, watcher?: JobWatcher): Promise<EndedProbeJob>;
};

export type ProofOptions = {
  driver: string;
  only: readonly string[];
  lab: Lab;
  /** Undefined: the host is the real one, and only what harms nobody is tried. */
  scene: Scene | undefined;
  /** Why there is no scene; for people. */
  notIsolated: string;
  say: (line: string) => void;
};

export type Proof = {
  driver: { name: string; note: string };
  findings: Finding[];
  notes: string[];
};

const NOWHERE: World = { dataDirectory: '', mark: '', disk: undefined };
const newWord = (): string => randomBytes(SECRET_BYTES).toString('hex');

/** @throws ProveError `unknown_attack` */
export function checkOnly(only: readonly string[]): void {
  const { unknown } = chooseAttacks(allAttacks(NOWHERE, ''), only);
  if (unknown.length === 0) return;
  throw new ProveError(
    'unknown_attack',
    `No attack and no class is called ${unknown.join(', ')}. What there is: docs/prove.md`,
  );
}

type Side = 'sandbox' | 'control';
/** Both sides try the same attacks, in the same order, each with a mark of its own. */
type Attempt = { side: Side; mark: string; attacks: readonly Attack[]; secret: string };

export async function prove(options: ProofOptions): Promise<Proof> {
  const { only, lab, say } = options;
  const secret = `prove-secret-${newWord()}`;
  const disk = diskOf(lab.dataDirectory);
  const prepare = (side: Side): Attempt => {
    const world = { dataDirectory: lab.dataDirectory, mark: `${side}-${newWord()}`, disk };
    const { chosen } = chooseAttacks(allAttacks(world, secret), only);
    return { side, mark: world.mark, attacks: chosen, secret };
  };
  const attempts = { sandbox: prepare('sandbox'), control: prepare('control') };
  const { attacks } = attempts.sandbox;
  say(`${attacks.length} attacks in a sandbox of the driver ${options.driver}`);
  const sandbox = await tryAll(options, attempts.sandbox);
  say('the same attacks with the defences off');
  const control = await tryAll(options, attempts.control);
  const findings = attacks.map((attack, index): Finding => {
    if (attack.kind === 'replay') {
      return judge(
        attack,
        observeUse(attack, sandbox, 'later'),
        observeUse(attack, sandbox, 'own'),
      );
    }
    if (attack.kind === 'remains') {
      const { before, after } = sandbox.remains.get(attack.remains) ?? notLooked(sandbox.ended);
      return judge(attack, after, before);
    }
    const why = whyNotTried(attack, options);
    if (why !== undefined) {
      const nothing: Observation = { outcome: 'not tried', why };
      return judge(attack, nothing, nothing);
    }
    const counterpart = attempts.control.attacks[index] as SandboxAttack;
    return judge(attack, observe(attack, sandbox), observe(counterpart, control));
  });
  return { driver: sandbox.driver, findings, notes: notesOn(attacks, sandbox) };
}

/** Without a host of the proof's own only what reads the jobs' own side of it is tried. */
function whyNotTried(
  attack: SandboxAttack,
  { scene, notIsolated }: ProofOptions,
): string | undefined {
  if (scene !== undefined) return undefined;
  const isHarmless = ['alike', 'log', 'text'].includes(attack.evidence.by);
  const isBelow = attack.class === 'identity' || /^(platform|log|socket-platform)-/.test(attack.id);
  return isHarmless && isBelow ? undefined : notIsolated;
}

type Remainder = { before: Observation; after: Observation };

type Tried = Round & {
  driver: Proof['driver'];
  remains: ReadonlyMap<Remains, Remainder>;
};

const notLooked = (ended: string): Remainder => {
  const nothing: Observation = { outcome: 'not tried', why: `no sandbox ran: ${ended}` };
  return { before: nothing, after: nothing };
};

async function tryAll(options: ProofOptions, attempt: Attempt): Promise<Tried> {
  const { side, mark, attacks, secret } = attempt;
  const { scene, lab } = options;
  const inside = attacks.filter(
    (attack): attack is SandboxAttack =>
      attack.kind === 'sandbox' && whyNotTried(attack, options) === undefined,
  );
  const listed = [...inside, ...(side === 'control' ? [] : attacks.filter(isReplay))];
  await scene?.begin(mark);
  const before = await lookAsHost(inside);
  const content = `content-${newWord()}`;
  const looks = side === 'sandbox' && attacks.some(({ kind }) => kind === 'remains');
  const found = new Map<Remains, string>();
  const search = { dataDirectory: lab.dataDirectory, content };
  const job = (turn: Turn, taken: ReadonlyMap<string, string>): ProbeJob => ({
    driver: side === 'control' ? 'process' : options.driver,
    files: jobFiles(listed, turn, content, taken),
    ...valuesOf(side, turn, secret, scene),
  });
  const values = new Map(scene?.values);
  const runFirst = async (): Promise<EndedProbeJob> => {
    await using neighbour = hasNeighbour(inside)
      ? await startNeighbour(lab, job('beside', new Map()))
      : undefined;
    for (const [name, value] of neighbour?.values ?? []) values.set(name, value);
    return await lab.run(job('first', new Map()), {
      running: async (sandboxId, end) => {
        if (looks) await watch({ ...search, sandboxId }, found, end);
      },
    });
  };
  const first = await runFirst();
  const remains = looks
    ? await lookAfter({ ...search, sandboxId: first.sandboxId }, found)
    : new Map<Remains, Remainder>();
  const effects = await scene?.effects();
  const reports = readReports(first.lines);
  const taken = new Map([...reports].map(([id, { seen }]) => [id, seen]));
  const next = hasNext(listed) ? await lab.run(job('next', taken)) : undefined;
  return {
    driver: { name: first.driver, note: first.driverNote },
    remains,
    reports: mergeReports(inside, reports, readReports(next?.lines ?? [])),
    // Some of it comes into being with the first job.
    host: new Map([...(await lookAsHost(inside)), ...before]),
    values,
    arrivals: effects?.arrivals ?? [],
    changes: effects?.changes ?? new Map(),
    log: [...first.lines, ...(next?.lines ?? [])].join('\n'),
    ended: [first.ended, next?.ended].filter((one) => one !== undefined).join('; '),
  };
}

/** Of attacks in two turns the later one is what counts, and the earlier one must have been done. */
function mergeReports(
  attacks: readonly SandboxAttack[],
  first: ReadonlyMap<string, ProbeReport>,
  next: ReadonlyMap<string, ProbeReport>,
): Map<string, ProbeReport> {
  // Replays have names of their own in each turn.
  const merged = new Map([...next, ...first]);
  for (const { id, probes } of attacks) {
    if (!probes.some(({ turn }) => turn === 'next')) continue;
    const later = first.has(id) ? next.get(id) : undefined;
    if (later === undefined) merged.delete(id);
    else merged.set(id, later);
  }
  return merged;
}

const hasNeighbour = (attacks: readonly SandboxAttack[]): boolean =>
  attacks.some(({ evidence }) => evidence.by === 'secret' && evidence.name === NEIGHBOUR);

type Neighbour = AsyncDisposable & { readonly values: ReadonlyMap<string, string> };

/** Another job of the same driver, which shows its value until it is disposed. */
async function startNeighbour(lab: Lab, job: ProbeJob): Promise<Neighbour> {
  const value = `prove-${NEIGHBOUR}-${newWord()}`;
  const stop = new AbortController();
  const { promise: ready, resolve } = Promise.withResolvers<boolean>();
  const ended = lab
    .run(
      { ...job, files: neighbourFiles(value) },
      {
        stop: stop.signal,
        line: (line) => {
          if (readReports([line]).get(NEIGHBOUR)?.seen === 'ready') resolve(true);
        },
      },
    )
    .finally(() => resolve(false));
  // Told when it is disposed; until then nobody waits for it.
  ended.catch(() => {});
  const isReady = await ready;
  return {
    // Without a neighbour there is nothing to be seen of it: its attacks do not count.
    values: new Map(isReady ? [[NEIGHBOUR, value]] : []),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await ended;
    },
  };
}

const isReplay = (attack: Attack): boolean => attack.kind === 'replay';

const hasNext = (attacks: readonly Attack[]): boolean =>
  attacks.some(
    (attack) =>
      isReplay(attack) ||
      (attack.kind === 'sandbox' && attack.probes.some(({ turn }) => turn === 'next')),
  );

/** The next job has no secret: what it finds of one is the first job's. */
function valuesOf(side: Side, turn: Turn, secret: string, scene: Scene | undefined) {
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

/** Looks again and again while the sandbox runs: each kind is found at some time. */
async function watch(search: Search, found: Map<Remains, string>, end: AbortSignal): Promise<void> {
  while (!end.aborted && found.size < REMAINS.length) {
    for (const kind of REMAINS) {
      const what = found.has(kind) ? '' : await findRemains(kind, search);
      if (what !== '') found.set(kind, what);
    }
    await sleep(LOOK_MS, undefined, { signal: end }).catch(() => {});
  }
}

/** What is still there after the kernel had time to take apart what was killed. */
async function lookAfter(
  search: Search,
  found: ReadonlyMap<Remains, string>,
): Promise<Map<Remains, Remainder>> {
  const remainders = new Map<Remains, Remainder>();
  if (search.sandboxId === '') return remainders;
  const tell = (what: string): Observation =>
    what === ''
      ? { outcome: 'stopped', seen: 'nothing was found' }
      : { outcome: 'through', seen: what.slice(0, OBSERVED_CHARACTERS) };
  const deadline = performance.now() + SETTLE_MS;
  for (const kind of REMAINS) {
    let left = await findRemains(kind, search);
    while (left !== '' && performance.now() < deadline) {
      await sleep(LOOK_MS);
      left = await findRemains(kind, search);
    }
    remainders.set(kind, { before: tell(found.get(kind) ?? ''), after: tell(left) });
  }
  return remainders;
}

function notesOn(attacks: readonly Attack[], { arrivals }: Round): string[] {
  const reachesOut = attacks.some((attack) => attack.class === 'network');
  const isReached = arrivals.some(({ id }) => id === PUBLIC_CONTROL.id);
  if (!reachesOut) return [];
  return isReached
    ? [
        'A public address was reached from the sandbox through the guard: it refuses what it refuses, not everything.',
      ]
    : [
        'No public address was reached from the sandbox: that nothing else was may have other reasons than the guard.',
      ];
}
