/**
 * Verdicts. Pure: what was observed in, what it shows out.
 *
 *     held          the attack was tried and stopped, and its positive control got through
 *     broken        the attack got through
 *     not counted   stopped, but its control did not get through either: that shows nothing
 *     not tried     the probe did not run here, with the reason
 *
 * Only `held` speaks for the sandbox; the last two never do.
 */
import type { Attack } from './attack.ts';

export const VERDICTS = ['held', 'broken', 'not counted', 'not tried'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** What came of one try. */
export type Observation =
  /** @param seen what the probe saw, or what the host found: for people, shortened */
  { outcome: 'through' | 'stopped'; seen: string } | { outcome: 'not tried'; why: string };

/** Whose defence an attack is on. `platform`: no sandbox of the driver takes part. */
export const SUBJECTS = ['sandbox', 'platform'] as const;
export type Subject = (typeof SUBJECTS)[number];

export type Finding = {
  id: string;
  class: Attack['class'];
  subject: Subject;
  title: string;
  expected: string;
  observed: string;
  verdict: Verdict;
  /** What is off in the control, and what came of it. */
  control: { how: string; outcome: Observation['outcome']; observed: string };
};

const tell = (observation: Observation): string =>
  observation.outcome === 'not tried' ? observation.why : observation.seen;

export function judge(attack: Attack, sandbox: Observation, control: Observation): Finding {
  return {
    id: attack.id,
    class: attack.class,
    subject: attack.kind === 'lease' ? 'platform' : 'sandbox',
    title: attack.title,
    expected: attack.expected,
    observed: tell(sandbox),
    verdict: verdictOf(sandbox, control),
    control: { how: attack.control, outcome: control.outcome, observed: tell(control) },
  };
}

function verdictOf(sandbox: Observation, control: Observation): Verdict {
  if (sandbox.outcome === 'through') return 'broken';
  if (sandbox.outcome === 'not tried') return 'not tried';
  return control.outcome === 'through' ? 'held' : 'not counted';
}

export type Totals = Record<Verdict, number>;

export function countVerdicts(findings: readonly Pick<Finding, 'verdict'>[]): Totals {
  const count = (verdict: Verdict): number =>
    findings.filter((finding) => finding.verdict === verdict).length;
  return {
    held: count('held'),
    broken: count('broken'),
    'not counted': count('not counted'),
    'not tried': count('not tried'),
  };
}

/** Older reports do not say whom an attack is on. */
type Counted = { verdict: Verdict; subject?: Subject };

/** Of what held: how much of it says nothing of the sandbox. */
export const countPlatform = (findings: readonly Counted[]): number =>
  findings.filter(({ verdict, subject }) => verdict === 'held' && subject === 'platform').length;

/** Nothing got through, and at least one attack on the sandbox shows it. */
export function isProved(findings: readonly Counted[]): boolean {
  const { held, broken } = countVerdicts(findings);
  return broken === 0 && held > countPlatform(findings);
}
