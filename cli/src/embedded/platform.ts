/**
 * The embedded mode: a data directory, and whoever owns it. One process does, and runs the platform;
 * every other `onejob` joins it through its socket, which takes none of the server's code.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent, ProcessSettings } from './owner.ts';
import type { Fleet, NetworkMode } from '@onejob/protocol';
import { ApiClient } from '../api-client.ts';
import type { Directories } from '../config/environment.ts';
import { CliError } from '../errors.ts';
import type { ImageWatcher } from './images.ts';
import { makeDirectories } from './make-directory.ts';

/** An owner that starts or stops holds the directory without answering; longer than this it hangs. */
const OWNER_PATIENCE_MS = 30_000;
const OWNER_RETRY_MS = 100;

/** A command that only asks is done within this; longer, whoever waits for it is told. */
const READER_QUIET_MS = 2_000;

export type PlatformOptions = {
  directories: Directories;
  /** `auto`, or the name of a driver: decides whether an image is needed at once. */
  driver: string;
  /** Name or digest of a stored image; undefined: onejob's own, built when missing. */
  image: string | undefined;
  /** Of a container engine in place of the one that the operator's settings name. */
  engineSocket?: string | undefined;
  /** What machines have of a network; undefined: onejob's default, `link`. */
  network?: NetworkMode | undefined;
  /** Of the driver process, in place of the operator's; only of a proof. */
  processSettings?: ProcessSettings | undefined;
  /** See AgentConfig; only of a proof's control. */
  obeyingDevice?: boolean;
  /** Machines that wait for jobs, at most; undefined: none. */
  pool?: number;
  /** Start an agent, too, or join a platform that has one: false where nothing is run. */
  withAgent: boolean;
  listen?: { host: string; port: number };
  imageWatcher: ImageWatcher;
  /** Things the user should know, a line each: of the agent, and faults of the control plane. */
  warn: (message: string) => void;
  /** Ends the start: what was started until then is stopped. */
  signal?: AbortSignal;
};

export type Platform = AsyncDisposable & {
  readonly api: ApiClient;
  /** `none`: nothing runs here, nor will while it is open. */
  readonly fleet: Fleet;
  /** Did this process start it, or does another one own the data directory? */
  readonly joined: boolean;
  readonly agent: Agent | undefined;
  /** Of an owner whose jobs boot it: there, or being made. Rejects when it cannot be made. */
  readonly image: Promise<unknown> | undefined;
  readonly url: string | undefined;
  /** Runs of an earlier owner that go on in this one. */
  readonly leftRuns: number;
  /** Of an owner: aborted when nothing can be kept any more, with the error to end with. */
  readonly broken: AbortSignal | undefined;
  /** True: no run goes on, and none is taken any more. Only for owners. */
  closeIfIdle(): Promise<boolean>;
};

type Joined = { api: ApiClient; fleet: Fleet; joined: true };

/** Joins the owner of the data directory, or becomes it. */
export async function openPlatform(options: PlatformOptions): Promise<Platform> {
  await makeDirectories(options.directories);
  const startedAtMs = performance.now();
  let told = false;
  for (;;) {
    const waitedMs = performance.now() - startedAtMs;
    const found = (await tryJoin(options, waitedMs)) ?? (await tryStart(options));
    if (found !== undefined && found !== 'reader') return found;
    if (found === 'reader' && waitedMs > READER_QUIET_MS && !told) {
      options.warn(`Waiting for another onejob command that reads ${options.directories.data}.`);
      told = true;
    }
    await sleep(OWNER_RETRY_MS);
    options.signal?.throwIfAborted();
  }
}

/** Undefined: another process owns the data directory. */
async function tryStart(options: PlatformOptions): Promise<Platform | undefined> {
  const { startOwner } = await import('./owner.ts');
  return await startOwner(options);
}

/**
 * Undefined: there is no owner, or it does not answer yet, or no longer. `reader`: it runs nothing and will be gone
 * in a moment, perhaps in the middle of an answer.
 */
async function tryJoin(
  { directories: { data }, image, network, withAgent }: PlatformOptions,
  waitedMs: number,
): Promise<Platform | 'reader' | undefined> {
  const isPatient = waitedMs < OWNER_PATIENCE_MS;
  const found = await findOwner(data).catch((error: unknown) => {
    if (isPatient) return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  if (found.fleet === 'none' && isPatient) return 'reader';
  if (found.fleet === 'none' && withAgent) {
    throw new CliError(
      'directory_in_use',
      `Another onejob command has been reading ${data} for ${OWNER_PATIENCE_MS / 1000} seconds, and ` +
        'nothing can run there before it ends. End it, or use a --data-dir of your own.',
    );
  }
  const [flag, what] = image === undefined ? ['network', 'network mode'] : ['image', 'image'];
  if (image === undefined && network === undefined) return platformOf(found);
  throw new CliError(
    'usage',
    `--${flag} has no effect: another onejob owns ${data} and chose its ${what} at its start. ` +
      'Stop it, or use a --data-dir of your own.',
  );
}

const platformOf = (joined: Joined): Platform => ({
  ...joined,
  agent: undefined,
  image: undefined,
  url: undefined,
  leftRuns: 0,
  broken: undefined,
  closeIfIdle: async () => await Promise.resolve(false),
  [Symbol.asyncDispose]: async () => {},
});

/** Rejects with CliError `platform_unreachable` where none answers. */
export async function findOwner(data: string): Promise<Joined> {
  const api = ApiClient.ofDataDirectory(join(data, 'api.sock'), join(data, 'api.token'));
  const { fleet } = await api.health();
  return { api, fleet, joined: true };
}
