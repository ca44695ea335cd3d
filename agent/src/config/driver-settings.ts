/**
 * The operator's settings of a driver, of the host, of the egress guard or of the pool, from a JSON file. What is not
 * known or of another type is refused by name; what the values may be is judged by whom they are for.
 */
import { readFileSync } from 'node:fs';
import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { DockerSettings } from '../drivers/docker/config.ts';
import type { FirecrackerSettings } from '../drivers/firecracker/config.ts';
import type { ProcessSettings } from '../drivers/process/config.ts';
import type { QemuSettings } from '../drivers/qemu/config.ts';
import { AgentError } from '../errors.ts';
import type { PoolLimits } from '../sandbox/pool.ts';
import type { AgentConfig } from './config.ts';

const Texts = Type.Array(Type.String());
const CLOSED = { additionalProperties: false };

const Docker = Type.Object(
  {
    socketPath: Type.Optional(Type.String()),
    runtime: Type.Optional(Type.String()),
    capabilities: Type.Optional(Texts),
    caches: Type.Optional(
      Type.Array(Type.Object({ source: Type.String(), target: Type.String() }, CLOSED)),
    ),
    image: Type.Optional(Type.String()),
    allowedImages: Type.Optional(Texts),
    dns: Type.Optional(Texts),
  },
  CLOSED,
);

const Count = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

const Qemu = Type.Object(
  {
    unconfined: Type.Optional(Type.Enum(['refuse', 'allow'])),
    diskRate: Type.Optional(
      Type.Object({ bytesPerSecond: Count, operationsPerSecond: Count }, CLOSED),
    ),
  },
  CLOSED,
);

const Firecracker = Type.Object(
  {
    firecrackerPath: Type.Optional(Type.String()),
    jailerPath: Type.Optional(Type.String()),
  },
  CLOSED,
);

const Process = Type.Object(
  {
    trustedTenants: Type.Optional(Type.Union([Type.Literal('all'), Texts])),
    requireNoexec: Type.Optional(Type.Boolean()),
    user: Type.Optional(Type.Enum(['own', 'agent'])),
  },
  CLOSED,
);

const Port = Type.Integer({ minimum: 1, maximum: 65_535 });

const Egress = Type.Object(
  {
    refusedRanges: Type.Optional(Texts),
    refusedPorts: Type.Optional(Type.Array(Type.Object({ from: Port, to: Port }, CLOSED))),
    hazardousReachableRanges: Type.Optional(Texts),
    limits: Type.Optional(
      Type.Object(
        {
          connectionsPerSandbox: Type.Optional(Count),
          newConnectionsPerSecond: Type.Optional(Count),
          newConnectionsPerMinute: Type.Optional(Count),
          bytesPerSandbox: Type.Optional(Count),
        },
        CLOSED,
      ),
    ),
  },
  CLOSED,
);

const Pool = Type.Object(
  { minimum: Type.Optional(Type.Number()), idleMs: Type.Optional(Type.Number()) },
  CLOSED,
);

const Host = Type.Object(
  {
    networkAddressRange: Type.Optional(Type.String()),
    sandboxUsers: Type.Optional(Type.Object({ first: Count, count: Count }, CLOSED)),
    snapshots: Type.Optional(Type.Boolean()),
  },
  CLOSED,
);

type Kind = { what: string; page: string };
const driverNamed = (name: string): Kind => ({
  what: `the ${name} driver`,
  page: 'docs/drivers.md',
});
const EGRESS: Kind = { what: 'the egress guard', page: 'docs/egress.md' };
const HOST: Kind = { what: 'the host', page: 'docs/operations.md' };
const POOL: Kind = { what: 'the pool', page: 'docs/operations.md' };

/** Throws `invalid_configuration`, naming the file and what in it is wrong; so do the others. */
export const readDockerSettings = (path: string): DockerSettings =>
  readSettings(path, driverNamed('docker'), Docker) as DockerSettings;

export const readQemuSettings = (path: string): QemuSettings =>
  readSettings(path, driverNamed('qemu'), Qemu);

export const readFirecrackerSettings = (path: string): FirecrackerSettings =>
  readSettings(path, driverNamed('firecracker'), Firecracker);

export const readProcessSettings = (path: string): ProcessSettings =>
  readSettings(path, driverNamed('process'), Process);

export const readEgressSettings = (path: string): NonNullable<AgentConfig['egress']> =>
  readSettings(path, EGRESS, Egress) as NonNullable<AgentConfig['egress']>;

export const readHostSettings = (path: string): Static<typeof Host> =>
  readSettings(path, HOST, Host);

/** Its maximum is said where the agent is started. */
export const readPoolSettings = (path: string): Partial<Omit<PoolLimits, 'maximum'>> =>
  readSettings(path, POOL, Pool);

function readSettings<S extends TSchema>(path: string, { what, page }: Kind, schema: S): Static<S> {
  const wrong = (why: string, cause?: unknown): AgentError =>
    new AgentError(
      'invalid_configuration',
      `The settings of ${what} in ${path} are refused: ${why}. ${page} lists them.`,
      cause === undefined ? undefined : { cause },
    );
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw wrong('it cannot be read as JSON', cause);
  }
  const checker = Compile(schema);
  if (checker.Check(value)) return value;
  const [first] = checker.Errors(value);
  const message =
    first?.keyword === 'enum'
      ? `must be one of ${first.params.allowedValues.map((one) => JSON.stringify(one)).join(', ')}`
      : (first?.message ?? 'is wrong');
  throw wrong(`${first?.instancePath || 'its top'} ${message}`);
}
