/**
 * The only reader of the runner's environment: which carrier, which directory, and what job
 * processes inherit. Unknown `ONEJOB_` settings are refused by name.
 */
import { GuestError } from '../errors.ts';

export type Carrier =
  | { kind: 'virtio'; controlPort: string; bulkPort: string }
  | { kind: 'unix'; controlSocketPath: string; bulkSocketPath: string };

export type GuestConfig = {
  carrier: Carrier;
  /** Everything of the job is below it. */
  workDirectory: string;
  /** Directory of named pipes that init made for the steps' output; null: there is no such init. */
  preparedPipes: string | null;
  /** Variables the agent finds processes by; every process of the job has them, whatever it sets. */
  markers: Record<string, string>;
  /** What job processes start from: the runner's own variables without its settings. */
  environment: Record<string, string>;
};

/** As `MACHINE` of the protocol says; spelled here, as a link in /dev is where the kernel put it. */
const PORT_DIRECTORY = '/dev/virtio-ports';
const WORK_DIRECTORY = '/work';
/** As init has it. */
const PREPARED_PIPES = '/dev/onejob-pipes';

const OWN_SETTINGS = [
  'ONEJOB_CARRIER',
  'ONEJOB_CONTROL_SOCKET',
  'ONEJOB_BULK_SOCKET',
  'ONEJOB_WORK',
];
/** Of the sandbox, and of the host's agent. */
const MARKERS = ['ONEJOB_SANDBOX', 'ONEJOB_HOST'];
/** Settings of the runner's Node, not of the job's. */
const RUNNER_ONLY = [...OWN_SETTINGS, 'NODE_COMPILE_CACHE', 'NODE_OPTIONS'];

function readCarrier(env: NodeJS.ProcessEnv): Carrier {
  const kind = env['ONEJOB_CARRIER'];
  if (kind === 'virtio') {
    return {
      kind,
      controlPort: `${PORT_DIRECTORY}/onejob.control`,
      bulkPort: `${PORT_DIRECTORY}/onejob.bulk`,
    };
  }
  if (kind === 'unix') {
    const controlSocketPath = env['ONEJOB_CONTROL_SOCKET'];
    const bulkSocketPath = env['ONEJOB_BULK_SOCKET'];
    if (!controlSocketPath || !bulkSocketPath) {
      throw new GuestError(
        'bad_configuration',
        'ONEJOB_CARRIER=unix needs ONEJOB_CONTROL_SOCKET and ONEJOB_BULK_SOCKET',
      );
    }
    return { kind, controlSocketPath, bulkSocketPath };
  }
  throw new GuestError(
    'bad_configuration',
    `ONEJOB_CARRIER is '${kind ?? ''}', it must be 'virtio' or 'unix'`,
  );
}

/** @throws GuestError `bad_configuration` */
export function readConfig(env: NodeJS.ProcessEnv = process.env): GuestConfig {
  const unknown = Object.keys(env).filter(
    (name) => name.startsWith('ONEJOB_') && !MARKERS.includes(name) && !OWN_SETTINGS.includes(name),
  );
  if (unknown.length > 0) {
    throw new GuestError('bad_configuration', `unknown settings: ${unknown.join(', ')}`);
  }
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !RUNNER_ONLY.includes(name)) environment[name] = value;
  }
  const markers: Record<string, string> = {};
  for (const name of MARKERS) {
    const value = env[name];
    if (value !== undefined) markers[name] = value;
  }
  environment['PATH'] ??= '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const carrier = readCarrier(env);
  return {
    carrier,
    workDirectory: env['ONEJOB_WORK'] || WORK_DIRECTORY,
    preparedPipes: carrier.kind === 'virtio' ? PREPARED_PIPES : null,
    markers,
    environment,
  };
}
