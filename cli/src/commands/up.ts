/** `onejob up`: the platform by itself, until a signal; other terminals join it. */
import type { NetworkMode } from '@onejob/protocol';
import { findDirectories } from '../config/environment.ts';
import { openPlatform, type Platform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { buildProgress } from '../show/build-progress.ts';
import { Interrupts } from './interrupt.ts';

export type UpFlags = { listen?: string; image?: string; network?: NetworkMode; pool?: string };

/** As many jobs as one push of a person's makes at a time. */
const WAITING = 2;
const MOST_WAITING = 1000;

export async function up(flags: UpFlags, dataDirectory: string | undefined): Promise<ExitCode> {
  using interrupts = new Interrupts();
  const directories = findDirectories(dataDirectory);
  const tell = (line: string): void => void process.stderr.write(`${line}\n`);
  await using platform = await openPlatform({
    directories,
    driver: 'auto',
    image: flags.image,
    network: flags.network,
    pool: readPool(flags),
    withAgent: true,
    ...(flags.listen === undefined ? {} : { listen: parseListen(flags.listen) }),
    imageWatcher: buildProgress(undefined, tell),
    warn: (message) => tell(`onejob: ${message}`),
    signal: interrupts.signal,
  });
  if (platform.joined) {
    throw new CliError(
      'directory_in_use',
      `Another onejob runs already on ${directories.data}. Use it, or choose another --data-dir.`,
    );
  }
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  say(`onejob is up. Data: ${directories.data}`);
  for (const { driver, probe } of platform.agent?.drivers ?? []) {
    say(`  driver ${driver.name}: ${probe.works ? probe.note : `does not work: ${probe.note}`}`);
  }
  if (platform.url !== undefined)
    say(`API: ${platform.url}  (token: ${directories.data}/api.token)`);
  say('Run jobs from any checkout with: onejob run. Stop with Ctrl-C.');
  using _ = interrupts.during((count) => {
    if (count === 1) say('Stopping: running jobs are ended and their machines buried.');
  });
  await Promise.race([interrupts.first(), failureOf(platform)]);
  return EXIT.success;
}

/** Rejects when this host can no longer do what it was started for; settles in no other way. */
async function failureOf({ image, broken }: Platform): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  image?.catch(reject);
  if (broken?.aborted === true) reject(broken.reason);
  broken?.addEventListener('abort', () => reject(broken.reason), { once: true });
  return await promise;
}

/** Machines that wait, at most. One with a network of its own never does: that is made before it, for one job. */
function readPool({ pool, network }: UpFlags): number {
  if (pool === undefined) return network === 'nat' ? 0 : WAITING;
  const count = Number(pool);
  if (!/^\d{1,4}$/.test(pool) || count > MOST_WAITING) {
    throw new CliError('usage', `--pool ${pool}: a whole number from 0 to ${MOST_WAITING}.`);
  }
  if (network !== 'nat' || count === 0) return count;
  throw new CliError(
    'usage',
    `--pool ${pool} has no effect with --network nat: the network of a machine is made before it, ` +
      'for one job, so that none can wait. Leave out --pool, or use --network link.',
  );
}

function parseListen(text: string): { host: string; port: number } {
  const match = /^(?:(\[[0-9a-fA-F:]+\]|[^:\s]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    throw new CliError('usage', `--listen ${text}: write host:port, for example 127.0.0.1:7070.`);
  }
  return { host: (match[1] ?? '127.0.0.1').replaceAll(/[[\]]/g, ''), port };
}
