/**
 * The operator's settings of the docker driver, from a JSON file. What is not known or of another type
 * is refused by name; what the values may be is judged by the driver's rules.
 */
import { readFileSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import type { DockerSettings } from '../drivers/docker/config.ts';
import { AgentError } from '../errors.ts';

const Texts = Type.Array(Type.String());
const Settings = Type.Object(
  {
    socketPath: Type.Optional(Type.String()),
    runtime: Type.Optional(Type.String()),
    capabilities: Type.Optional(Texts),
    caches: Type.Optional(
      Type.Array(
        Type.Object(
          { source: Type.String(), target: Type.String() },
          { additionalProperties: false },
        ),
      ),
    ),
    image: Type.Optional(Type.String()),
    allowedImages: Type.Optional(Texts),
    dns: Type.Optional(Texts),
  },
  { additionalProperties: false },
);
const checker = Compile(Settings);

/** Throws `invalid_configuration`, naming the file and what in it is wrong. */
export function readDockerSettings(path: string): DockerSettings {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw wrong(path, 'it cannot be read as JSON', cause);
  }
  if (!checker.Check(value)) {
    const [first] = checker.Errors(value);
    throw wrong(path, `${first?.instancePath || 'its top'} ${first?.message ?? 'is wrong'}`);
  }
  return value satisfies Static<typeof Settings> as DockerSettings;
}

const wrong = (path: string, why: string, cause?: unknown): AgentError =>
  new AgentError(
    'invalid_configuration',
    `The settings of the docker driver in ${path} are refused: ${why}. docs/drivers.md lists them.`,
    cause === undefined ? undefined : { cause },
  );
