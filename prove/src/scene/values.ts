/** Values that only the host knows. What sees one has seen the host. */
import { randomBytes } from 'node:crypto';
import { HOST_CREDENTIALS, HOST_SOCKETS } from '../attacks/world.ts';
import { SECRET_BYTES } from '../limits.ts';

const NAMES = [
  ...[
    'file',
    'mount',
    'canary',
    'environment',
    'descriptor',
    'memory',
    'queue',
    'shm',
    'key',
    'device',
  ],
  ...['machine', 'hostname', 'user', 'hosts', 'unix', 'traffic', 'listener', 'agent'],
  'socket-abstract',
  ...Object.keys(HOST_SOCKETS).map((name) => `socket-${name}`),
  ...Object.keys(HOST_CREDENTIALS).map((name) => `credential-${name}`),
];

export type Values = ReadonlyMap<string, string>;

/** @param agent the one that the agent was started with, in its environment */
export function makeValues(agent: string): Values {
  const values = NAMES.map((name): [string, string] => [
    name,
    `prove-${name}-${randomBytes(SECRET_BYTES).toString('hex')}`,
  ]);
  return new Map([...values, ['agent', agent]]);
}

/** @throws a fault of ours: an attack asks for a value that nobody has */
export function valueOf(values: Values, name: string): string {
  const value = values.get(name);
  if (value === undefined) throw new Error(`The host has no value "${name}".`);
  return value;
}
