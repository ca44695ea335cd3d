/**
 * The operator's settings of a driver, from a JSON file. What is not known or of another type is refused
 * by name; what the values may be is judged by the driver.
 */
import { readFileSync } from 'node:fs';
import Type, { type Static, type TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { DockerSettings } from '../drivers/docker/config.ts';
import type { FirecrackerSettings } from '../drivers/firecracker/config.ts';
import type { ProcessSettings } from '../drivers/process/config.ts';
import { AgentError } from '../errors.ts';

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
    user: Type.Optional(Type.Union([Type.Literal('own'), Type.Literal('agent')])),
  },
  CLOSED,
);

/** Throws `invalid_configuration`, naming the file and what in it is wrong; so do the others. */
export const readDockerSettings = (path: string): DockerSettings =>
  readSettings(path, 'docker', Docker) as DockerSettings;

export const readFirecrackerSettings = (path: string): FirecrackerSettings =>
  readSettings(path, 'firecracker', Firecracker);

export const readProcessSettings = (path: string): ProcessSettings =>
  readSettings(path, 'process', Process);

function readSettings<S extends TSchema>(path: string, driver: string, schema: S): Static<S> {
  const wrong = (why: string, cause?: unknown): AgentError =>
    new AgentError(
      'invalid_configuration',
      `The settings of the ${driver} driver in ${path} are refused: ${why}. docs/drivers.md lists them.`,
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
  throw wrong(`${first?.instancePath || 'its top'} ${first?.message ?? 'is wrong'}`);
}
