/** What the host makes of a try: evidence against what was seen on both sides. Pure. */
import type { Evidence, ReplayAttack, SandboxAttack, Telling } from './attack.ts';
import { CANNOT_LOOK } from './attacks/world.ts';
import type { Observation } from './judge.ts';
import { OBSERVED_CHARACTERS } from './limits.ts';
import type { Arrival } from './scene/listeners.ts';
import { replayIds } from './workflow.ts';

/** What one probe reported. */
export type ProbeReport = {
  seen: string;
  /** Its errors. */
  said: string;
};

/** Everything that is known of one round: a job, or two in turn, of one driver. */
export type Round = {
  /** By attack; of those with probes in two jobs, the report of the later one. */
  reports: ReadonlyMap<string, ProbeReport>;
  /** What the host sees when it does the same, by attack. */
  host: ReadonlyMap<string, string>;
  values: ReadonlyMap<string, string>;
  arrivals: readonly Arrival[];
  changes: ReadonlyMap<string, string>;
  /** Of all jobs, as the host keeps it. */
  log: string;
  /** How the jobs ended, for attacks without a report. */
  ended: string;
  /** By attack, how the job ended that no other probe ran in. */
  alone?: ReadonlyMap<string, string>;
  /** By attack, why the host did not try it, or why what was tried shows nothing. */
  untried?: ReadonlyMap<string, string>;
};

/** For want of what it asked for, as its host saw it. */
const MACHINE_STOPPED = /: out_of_memory: /;

/** What `sha256sum` makes of no input: its pipe brought nothing, and nothing was looked at. */
const HASH_OF_NOTHING = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
/** How shells, and tools that start others, tell of a program that is not installed. */
const MISSING_TOOLS = [
  /sh: (?:line )?(?:\d+: )?([^\s:/]+): (?:command )?not found/,
  /: failed to (?:run command|execute) \W?([\w.-]+)\W*: No such file or directory/,
  /\bspawn (\S+) ENOENT/,
];

/** Undefined: the probe ran. What only looks like a refusal shows nothing of a defence. Pure. */
function whyNotRun({ seen, said }: ProbeReport): string | undefined {
  if (said.includes(CANNOT_LOOK)) return said.slice(said.indexOf(CANNOT_LOOK));
  const [tool] = MISSING_TOOLS.flatMap((pattern) => pattern.exec(said)?.[1] ?? []);
  if (tool !== undefined) return `the probe needs ${tool}, which is not there`;
  if (!seen.includes(HASH_OF_NOTHING)) return undefined;
  return `the probe had nothing to look at${said === '' ? '' : `: ${said}`}`;
}

export function observe({ id, evidence }: SandboxAttack, round: Round): Observation {
  const untried = round.untried?.get(id);
  if (untried !== undefined) return { outcome: 'not tried', why: untried };
  const report = round.reports.get(id);
  if (report === undefined) {
    const end = round.alone?.get(id) ?? '';
    if (MACHINE_STOPPED.test(end)) return { outcome: 'stopped', seen: clip(end) };
    return { outcome: 'not tried', why: `no probe said so: ${round.ended}` };
  }
  const host = (round.host.get(id) ?? '').trim();
  if (evidence.by === 'alike' && (host === '' || host.includes(HASH_OF_NOTHING))) {
    return { outcome: 'not tried', why: 'the host has nothing of the kind itself' };
  }
  const proof = proofOf(id, evidence, report, round);
  if (proof !== undefined) return { outcome: 'through', seen: clip(proof) };
  const whyNot = whyNotRun(report);
  if (whyNot !== undefined) return { outcome: 'not tried', why: clip(whyNot) };
  const told = [report.seen, report.said].map((text) => text.trim()).filter((text) => text !== '');
  return { outcome: 'stopped', seen: clip(told.join('; ') || 'nothing') };
}

/** Of attacks in two turns the later one is what counts, and the earlier one must have been done. Pure. */
export function mergeReports(
  attacks: readonly SandboxAttack[],
  first: ReadonlyMap<string, ProbeReport>,
  next: ReadonlyMap<string, ProbeReport>,
): Map<string, ProbeReport> {
  // Replays have names of their own in each turn.
  const merged = new Map([...next, ...first]);
  for (const { id, probes } of attacks) {
    if (!probes.some(({ turn }) => turn === 'next')) continue;
    const left = first.get(id);
    // What could not be left is not found either.
    const isLeft = left !== undefined && whyNotRun(left) === undefined;
    const later = isLeft ? next.get(id) : left;
    if (later === undefined) merged.delete(id);
    else merged.set(id, later);
  }
  return merged;
}

/** A use of what was taken from a job: in that job, or in another one. */
export function observeUse(
  attack: ReplayAttack,
  round: Round,
  where: 'own' | 'elsewhere',
): Observation {
  const report = round.reports.get(replayIds(attack.id)[where]);
  if (report === undefined) {
    return { outcome: 'not tried', why: `there was nothing to use, or no probe: ${round.ended}` };
  }
  const seen = clip(report.seen || report.said || 'nothing');
  if (report.seen.includes(attack.text)) return { outcome: 'through', seen };
  const whyNot = whyNotRun(report);
  return whyNot === undefined
    ? { outcome: 'stopped', seen }
    : { outcome: 'not tried', why: clip(whyNot) };
}

const GIBIBYTE_BLOCKS = 1024 ** 2;

/**
 * Lines that two machines do not have by chance. A disk of whole gibibytes is like any other, and so are
 * PCI devices, of which a machine has the same kinds in the same places as all of its maker's.
 */
const IS_TELLING: Readonly<Record<Telling, (line: string) => boolean>> = {
  cards: (line) => /^link\/ether (?!00:00:00:00:00:00|ff:ff:ff:ff:ff:ff)/.test(line),
  addresses: (line) => /^inet6? (?!127\.|::1\/|fe80:)/.test(line),
  disks: (line) => {
    const [, , blocks = '', name = ''] = line.trim().split(/\s+/);
    const isOfAll = /^(ram|loop|zram|nbd|sr|fd)\d+$/.test(name);
    return !isOfAll && Number(blocks) > 0 && Number(blocks) % GIBIBYTE_BLOCKS !== 0;
  },
};

function sharedLine(lines: Telling, seen: string, host: string): string | undefined {
  const all = new Set(host.split('\n').map((line) => line.trim()));
  return seen
    .split('\n')
    .map((line) => line.trim())
    .find((line) => all.has(line) && IS_TELLING[lines](line));
}

/** Undefined: nothing shows that it got through. */
function proofOf(
  id: string,
  evidence: Evidence,
  { seen }: ProbeReport,
  round: Round,
): string | undefined {
  switch (evidence.by) {
    case 'secret': {
      const value = round.values.get(evidence.name);
      return value !== undefined && seen.includes(value) ? `it saw ${value}` : undefined;
    }
    case 'alike': {
      const host = round.host.get(id)?.trim() ?? '';
      if (seen.trim() === host) return `it saw what the host sees: ${host}`;
      const line = evidence.lines && sharedLine(evidence.lines, seen, host);
      return line === undefined ? undefined : `it saw what the host sees, too: ${line}`;
    }
    case 'text':
      return seen.includes(evidence.text) ? `it saw: ${seen.trim()}` : undefined;
    case 'change':
      return round.changes.get(evidence.name);
    case 'log':
      return round.log.includes(evidence.text) ? `the log shows ${evidence.text}` : undefined;
    case 'row': {
      const longest = Math.max(0, ...round.log.split('\n').map(({ length }) => length));
      return longest > evidence.characters ? `a row has ${longest} characters` : undefined;
    }
    case 'arrival': {
      const arrival = round.arrivals.find(
        (one) =>
          one.id === id &&
          (evidence.address === undefined || one.address === evidence.address) &&
          (evidence.from === undefined || one.from === evidence.from),
      );
      return arrival && `it came to a listener of the host ${arrival.address} from ${arrival.from}`;
    }
  }
}

/** One line, short enough for a table of findings. */
function clip(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= OBSERVED_CHARACTERS ? line : `${line.slice(0, OBSERVED_CHARACTERS - 1)}…`;
}

const LINE = /^onejob-prove (\{.*\})$/;

/** Reports of a job's log; a later one of the same attack replaces the earlier. */
export function readReports(lines: readonly string[]): Map<string, ProbeReport> {
  const reports = new Map<string, ProbeReport>();
  for (const line of lines) {
    const [, text] = LINE.exec(line) ?? [];
    if (text === undefined) continue;
    const report = parse(text);
    if (report !== undefined) reports.set(report.id, { seen: report.seen, said: report.said });
  }
  return reports;
}

/** The log is the job's: what does not fit is no report. */
function parse(text: string): (ProbeReport & { id: string }) | undefined {
  try {
    const { id, seen, said } = JSON.parse(text) as Partial<ProbeReport & { id: string }>;
    const isReport = [id, seen, said].every((value) => typeof value === 'string');
    return isReport ? ({ id, seen, said } as ProbeReport & { id: string }) : undefined;
  } catch {
    return undefined;
  }
}
