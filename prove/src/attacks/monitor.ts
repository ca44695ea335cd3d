/** What a guest wins that takes its machine monitor over: nothing of the host, where it is confined. */
import type { Aspect, MonitorAttack } from '../attack.ts';

const WHAT: Readonly<Record<Aspect, [title: string, expected: string]>> = {
  user: ['is root or the agent', 'it is a user that nobody else is'],
  capabilities: ['has capabilities', 'it has none, and can get none'],
  privileges: ['gains privileges by a program with a set-user-id bit', 'none is gained'],
  calls: [
    'meets no filter of system calls (none is made: the kernel is asked)',
    'its process has a filter; what that lets through is not tried',
  ],
  files: ["reads the host's files", 'they are not in its root directory'],
  descriptors: ["uses the platform's files and sockets that it inherited open", 'none is open'],
  network: ["uses the host's network", 'it has a network of its own, with nothing in it'],
  processes: ["sees the host's processes", 'it sees its own only'],
  memory: ["uses the host's shared memory", 'it has a namespace of its own'],
  limits: ["takes the host's processors and memory", 'a control group of its own limits it'],
  environment: ["reads the agent's environment", 'it was given none of it'],
};

export const monitorAttacks = (): MonitorAttack[] =>
  (Object.keys(WHAT) as Aspect[]).map((aspect) => ({
    kind: 'monitor',
    id: `monitor-${aspect}`,
    class: 'escape',
    title: `${WHAT[aspect][0]}, once it has taken its monitor over`,
    expected: WHAT[aspect][1],
    control: 'the same look at the agent, which nothing confines',
    aspect,
  }));
