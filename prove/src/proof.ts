/**
 * A proof: every attack in a sandbox of the driver, then its control, then the verdicts.
 *
 *     sandbox   the driver under proof, the secret a secret, the guard's proxy
 *     control   the driver process, the secret an ordinary variable, a proxy that judges nothing
 *
 * Each round is two jobs, the first tries, the next looks for what the first left, and one more for
 * each attack that may end its machine. Jobs go the way of any job; a lab runs them. With a network that
 * the driver process cannot have, the control's lab is another one.
 */
import type { NetworkMode } from '@onejob/protocol';
import {
  chooseAttacks,
  THEFTS,
  type Attack,
  type Flood,
  type SandboxAttack,
  type Theft,
} from './attack.ts';
import { allAttacks } from './attacks/all-attacks.ts';
import { needsEnds } from './attacks/neighbour.ts';
import { PUBLIC_CONTROL } from './attacks/network.ts';
import type { World } from './attacks/world.ts';
import { tryDevices, type DevicesResult } from './devices.ts';
import { ProveError } from './errors.ts';
import { observe, observeUse, type Round } from './evidence.ts';
import { tryFloods, type FloodResult } from './floods.ts';
import { diskOf } from './host-facts.ts';
import { judge, type Finding, type Observation } from './judge.ts';
import type { Lab } from './lab.ts';
import { tryLeases, type LeaseResult } from './leases.ts';
import { newWord, tryAll, type Attempt, type Side, type Tried } from './round.ts';
import type { Scene } from './scene/scene.ts';
import { leaseFiles } from './workflow.ts';

export type ProofOptions = {
  driver: string;
  /** What its machines have of a network. */
  network: NetworkMode;
  only: readonly string[];
  lab: Lab;
  /** Of controls, where those cannot have the network of the driver under proof. */
  controlLab?: Lab;
  /** Of the control whose machines have a device that obeys. */
  openObeying: () => Promise<Lab & AsyncDisposable>;
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

const NOWHERE: World = {
  ...{ side: 'sandbox', dataDirectory: '', mark: '', disk: undefined, network: 'link' },
};

/** @throws ProveError `unknown_attack` */
export function checkOnly(only: readonly string[]): void {
  const { unknown } = chooseAttacks(allAttacks(NOWHERE, ''), only);
  if (unknown.length === 0) return;
  throw new ProveError(
    'unknown_attack',
    `No attack and no class is called ${unknown.join(', ')}. What there is: docs/prove.md`,
  );
}

export async function prove(options: ProofOptions): Promise<Proof> {
  const { driver, network, only, say, scene } = options;
  const secret = `prove-secret-${newWord()}`;
  const disk = diskOf(options.lab.dataDirectory);
  const prepare = (side: Side, ofJobs: string): Attempt & { all: readonly Attack[] } => {
    const lab = side === 'control' ? (options.controlLab ?? options.lab) : options.lab;
    const { dataDirectory } = lab;
    const world = { side, dataDirectory, mark: `${side}-${newWord()}`, disk, network };
    const { chosen } = chooseAttacks(allAttacks(world, secret), only);
    const attacks = chosen.filter((attack) => whyNotTried(attack, options) === undefined);
    return { side, driver: ofJobs, mark: world.mark, all: chosen, attacks, secret, scene, lab };
  };
  const attempts = { sandbox: prepare('sandbox', driver), control: prepare('control', 'process') };
  const attacks = attempts.sandbox.all;
  say(`${attacks.length} attacks in a sandbox of the driver ${driver}`);
  const sandbox = await tryAll(attempts.sandbox);
  say('the same attacks with the defences off');
  const control = await tryAll(attempts.control);
  const thefts = await tryThefts(attempts.sandbox.attacks, options);
  const floods = await tryAllFloods(attempts.sandbox.attacks, options);
  const devices = await tryAllDevices(attempts.sandbox.attacks, options);
  const both = { sandbox, control, thefts, floods, devices };
  const findings = attacks.map((attack, index): Finding => {
    const why = whyNotTried(attack, options);
    if (why !== undefined) {
      const nothing: Observation = { outcome: 'not tried', why };
      return judge(attack, nothing, nothing);
    }
    const counterpart = attempts.control.all[index] ?? attack;
    return judge(attack, ...observeBoth(attack, counterpart, both));
  });
  return { driver: sandbox.driver, findings, notes: notesOn(attacks, sandbox) };
}

/**
 * Without a host of the proof's own only what reads the jobs' own side of it is tried. And nothing that
 * would hit the real host's kernel, in a sandbox that runs on it.
 */
function whyNotTried(
  attack: Attack,
  { driver, network, scene, notIsolated, lab }: ProofOptions,
): string | undefined {
  if (attack.kind === 'devices' && driver !== 'qemu') {
    return `a job of the driver ${driver} meets no device that a monitor emulates`;
  }
  if (attack.kind === 'monitor' || attack.kind === 'flood' || attack.kind === 'devices')
    return scene === undefined ? notIsolated : undefined;
  if (attack.kind === 'remains' && driver === 'docker' && lab.engineDirectory === undefined) {
    const isWithEngine = attack.remains === 'content' || attack.remains === 'container';
    return isWithEngine ? `the host's own engine keeps its files: ${notIsolated}` : undefined;
  }
  if (attack.kind !== 'sandbox') return undefined;
  const isOfKernel = attack.controlOn === 'host' && attack.class === 'escape';
  if (isOfKernel && ON_HOST_KERNEL.includes(driver)) {
    return `a job of the driver ${driver} runs on the kernel of the real host, and would hit that`;
  }
  if (network === 'link' && needsEnds(attack)) {
    return 'the host has no address for a sandbox in network mode link: there is no way to one';
  }
  if (scene !== undefined) return undefined;
  const isHarmless = ['alike', 'log', 'text'].includes(attack.evidence.by);
  const isBelow =
    attack.class === 'identity' || /^(platform|log|socket-platform|command-line)-/.test(attack.id);
  return isHarmless && isBelow ? undefined : notIsolated;
}

/** Their jobs' system calls are the real host's. */
const ON_HOST_KERNEL: readonly string[] = ['docker', 'process'];

/** What is asked of the control plane needs two jobs that only this proof takes. */
async function tryThefts(
  attacks: readonly Attack[],
  { lab: sandboxLab, controlLab: lab = sandboxLab, say }: ProofOptions,
): Promise<ReadonlyMap<Theft, LeaseResult>> {
  if (!attacks.some(({ kind }) => kind === 'lease')) return new Map();
  say('credentials of leases in the wrong hands');
  const stop = new AbortController();
  const job = { driver: 'process', files: leaseFiles(), secrets: {}, vars: {} };
  const jobs: Promise<unknown>[] = [];
  try {
    return await tryLeases(lab.dataDirectory, () => {
      for (let count = 0; count < 2; count += 1) jobs.push(lab.run(job, { stop: stop.signal }));
    });
  } catch (cause) {
    const nothing: Observation = { outcome: 'not tried', why: (cause as Error).message };
    return new Map(THEFTS.map((theft) => [theft, { attack: nothing, control: nothing }]));
  } finally {
    stop.abort();
    await Promise.allSettled(jobs);
  }
}

async function tryAllFloods(
  attacks: readonly Attack[],
  { lab, driver, say }: ProofOptions,
): Promise<ReadonlyMap<Flood, FloodResult>> {
  const floods = attacks.filter((attack) => attack.kind === 'flood');
  if (floods.length > 0) say('floods of the log and of the link, beside another job');
  return await tryFloods(floods, lab, driver);
}

async function tryAllDevices(
  attacks: readonly Attack[],
  { lab, driver, openObeying, say }: ProofOptions,
): Promise<DevicesResult | undefined> {
  if (!attacks.some(({ kind }) => kind === 'devices')) return undefined;
  say("nonsense in the registers of a machine's devices");
  return await tryDevices(lab, openObeying, driver);
}

/** What was observed of an attack, and of its control. */
function observeBoth(
  attack: Attack,
  counterpart: Attack,
  { sandbox, control, thefts, floods, devices }: Both,
): [Observation, Observation] {
  const nothing = (why: string): [Observation, Observation] => [
    { outcome: 'not tried', why },
    { outcome: 'not tried', why },
  ];
  switch (attack.kind) {
    case 'replay':
      return [observeUse(attack, sandbox, 'elsewhere'), observeUse(attack, sandbox, 'own')];
    case 'remains': {
      const found = sandbox.remains.get(attack.remains);
      if (found === undefined) return nothing(`no sandbox ran: ${sandbox.ended}`);
      if (attack.remains !== 'content') return [found.after, found.before];
      const looks = [found.before, found.after];
      const now =
        looks.find(({ outcome }) => outcome === 'through') ??
        looks.find(({ outcome }) => outcome === 'not tried') ??
        found.after;
      return [now, control.remains.get('content')?.before ?? found.before];
    }
    case 'monitor': {
      const seen = sandbox.monitor.get(attack.aspect);
      if (seen === undefined) return nothing(`nothing was found to look at: ${sandbox.ended}`);
      return [seen, sandbox.agent.get(attack.aspect) ?? seen];
    }
    case 'lease': {
      const result = thefts.get(attack.theft);
      return result === undefined ? nothing('no lease was had') : [result.attack, result.control];
    }
    case 'flood': {
      const result = floods.get(attack.flood);
      return result === undefined ? nothing('no job ran') : [result.attack, result.control];
    }
    case 'devices':
      return devices === undefined ? nothing('no job ran') : [devices.attack, devices.control];
    case 'sandbox':
      return [observe(attack, sandbox), observe(counterpart as SandboxAttack, control)];
  }
}

type Both = {
  sandbox: Tried;
  control: Tried;
  thefts: ReadonlyMap<Theft, LeaseResult>;
  floods: ReadonlyMap<Flood, FloodResult>;
  devices: DevicesResult | undefined;
};

function notesOn(attacks: readonly Attack[], { arrivals }: Round): string[] {
  const reachesOut = attacks.some((attack) => attack.class === 'network');
  const isReached = arrivals.some(({ id }) => id === PUBLIC_CONTROL.id);
  const thefts = attacks.filter(({ kind }) => kind === 'lease').length;
  const reached = isReached
    ? 'A public address was reached from the sandbox through the guard: it refuses what it refuses, not everything.'
    : 'No public address was reached from the sandbox: that nothing else was may have other reasons than the guard.';
  return [
    ...(reachesOut ? [reached] : []),
    ...(thefts === 0
      ? []
      : [
          `${thefts} attacks (lease-*) are those of an agent of the host, in no sandbox: they say nothing of the driver.`,
        ]),
  ];
}
