/** More than a job may say: to its log, and on its link once it has taken its guest runner over. */
import type { Flood, FloodAttack } from '../attack.ts';

const WHAT: Readonly<Record<Flood, [title: string, expected: string]>> = {
  log: [
    'prints half as much again as the log of a job may have',
    'the log has its limit and says what was dropped, and other jobs go on',
  ],
  message: [
    'sends a message without an end on the link',
    'the link and the job are ended, and other jobs go on',
  ],
  frames: ['sends nonsense on the link', 'the link and the job are ended, and other jobs go on'],
};

export const floodAttacks = (): FloodAttack[] =>
  (Object.keys(WHAT) as Flood[]).map((flood) => ({
    kind: 'flood',
    id: flood === 'log' ? 'full-log' : `link-${flood}`,
    class: 'resources',
    title: WHAT[flood][0],
    expected: WHAT[flood][1],
    control: 'none, so it does not count: every platform has that limit',
    flood,
  }));
