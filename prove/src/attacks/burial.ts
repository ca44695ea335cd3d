/** What is left on the host of a sandbox that is gone. The control: found there while it ran. */
import type { Remains, RemainsAttack } from '../attack.ts';

const WHAT: Readonly<Record<Remains, string>> = {
  process: 'a process that carries its name',
  socket: 'a socket of its link',
  directory: 'its directory',
  content: 'what the job wrote to its disk readable, now or later,',
  journal: 'its journal',
  descriptor: 'a file of it that somebody has open',
  group: 'its control group',
  user: 'a user that was taken for it',
  mount: 'a mount of its files',
  container: 'its container, or the layer that the engine made for that,',
  interface: 'an interface that leads to it',
  'packet-rules': 'packet rules for it',
  network: 'its network namespace',
};

export const burialAttacks = (): RemainsAttack[] =>
  (Object.keys(WHAT) as Remains[]).map((remains) => ({
    kind: 'remains',
    id: `remains-${remains}`,
    class: 'burial',
    title: `leaves ${WHAT[remains]} on the host`,
    ...(remains === 'content'
      ? {
          expected:
            'it is in none of the files that are searched, while the job runs or afterwards',
          control: 'the same search while a job of the driver process runs',
        }
      : {
          expected: 'nothing of it is found once the job has ended',
          control: 'the same search while the sandbox runs',
        }),
    remains,
  }));
