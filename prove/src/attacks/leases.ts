/**
 * Credentials of an agent's lease in the wrong hands, shown to the control plane by an agent on the host. No
 * sandbox takes part, and so they say nothing of a driver.
 */
import type { LeaseAttack, Theft } from '../attack.ts';

const WHAT: Readonly<Record<Theft, [title: string, expected: string, control: string]>> = {
  adoption: [
    'adopts a job a second time with its adoption credential',
    'it works once: no second task, and no second time the secrets',
    'the first adoption',
  ],
  'adoption-of-other': [
    "adopts another job with a job's adoption credential",
    'the other job is not given away',
    'the same adoption with its own credential',
  ],
  'session-of-other': [
    "writes to the log of another job with a job's session credential",
    "it is no other job's",
    'the same with its own credential',
  ],
  'old-epoch': [
    'writes to the log of a job as a lease that came before its own',
    'an older lease has no say',
    'the same with the epoch of its own lease',
  ],
  'no-agent': [
    'writes to the log of a job without being an agent',
    'who shows no credential of an agent is told nothing',
    'the same with it',
  ],
  'log-after-end': [
    'adds to the log of a job that has ended with its session credential',
    'the log is whole and takes nothing more',
    'the same before the end',
  ],
  'end-after-end': [
    'gives a job that has ended another end with its session credential',
    'the first end stands',
    'the first end',
  ],
};

export const leaseAttacks = (): LeaseAttack[] =>
  (Object.keys(WHAT) as Theft[]).map((theft) => ({
    kind: 'lease',
    id: `lease-${theft}`,
    class: 'credentials',
    title: `${WHAT[theft][0]}, by an agent of the host and in no sandbox`,
    expected: WHAT[theft][1],
    control: WHAT[theft][2],
    theft,
  }));
