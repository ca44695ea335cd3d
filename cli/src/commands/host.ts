/** `onejob doctor` and `onejob reap`: what this host can do, and what was left on it. */
import { readdir, rm, stat } from 'node:fs/promises';
import { freemem, totalmem, availableParallelism } from 'node:os';
import { join } from 'node:path';
import { tryGit } from '../checkout/git.ts';
import { findDirectories, terminalStyle } from '../config/environment.ts';
import { ImageStore, type GuestImage } from '../embedded/images.ts';
import {
  listLeftovers,
  reapLeftovers,
  tryDrivers,
  tryNetwork,
  type ReapEntry,
} from '../embedded/owner.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { painter } from '../show/style.ts';
import { table } from '../show/table.ts';
import { bytes, duration } from '../show/time.ts';
import { Interrupts } from './interrupt.ts';

const print = (text: string): void => void process.stdout.write(`${text}\n`);

export async function doctor(
  flags: { json: boolean },
  dataDirectory: string | undefined,
): Promise<ExitCode> {
  const directories = findDirectories(dataDirectory);
  const drivers = await tryDrivers(directories);
  const network = await tryNetwork(directories);
  const store = new ImageStore(directories.cache);
  const { images } = await store.list();
  const own = await tryImage(store);
  const gitVersion = await tryGit(['--version'], { directory: '/' }).catch(() => undefined);
  // Strongest first: what `auto` takes.
  const taken = drivers.find(({ probe }) => probe.works && probe.auto);
  const works = taken !== undefined && own.problem === undefined && gitVersion !== undefined;
  if (flags.json) {
    const report = drivers.map(({ driver, probe }) => ({ driver: driver.name, ...probe }));
    const image = { ready: own.image !== undefined, problem: own.problem ?? null };
    print(JSON.stringify({ drivers: report, network, image, images, gitVersion, directories }));
    return works ? EXIT.success : EXIT.platform;
  }
  const paint = painter(terminalStyle(process.stdout).color);
  const sign = (good: boolean): string => (good ? paint('green', '✓') : paint('red', '✗'));
  const rows = [
    ...drivers.map(({ driver, probe }) => [
      `${sign(probe.works)} driver ${driver.name}`,
      `${probe.note}${driver.name === 'process' ? ' (never chosen by auto)' : ''}`,
    ]),
    [`${network.works ? sign(true) : ' '} network nat`, network.note],
    [`${sign(gitVersion !== undefined)} git`, gitVersion ?? 'missing: apt-get install git'],
    [`${sign(own.problem === undefined)} image`, describeImage(own, images.length)],
    ['  host', `${availableParallelism()} CPUs, ${bytes(freemem())} of ${bytes(totalmem())} free`],
    ['  data', directories.data],
  ];
  print(table(rows));
  print(verdict(taken, { hasImage: own.problem === undefined, hasGit: gitVersion !== undefined }));
  return works ? EXIT.success : EXIT.platform;
}

function verdict(
  taken: Awaited<ReturnType<typeof tryDrivers>>[number] | undefined,
  has: { hasImage: boolean; hasGit: boolean },
): string {
  if (taken === undefined) {
    return 'No driver with a kernel of its own works here, nor another one that isolates.';
  }
  const cannot = 'Jobs cannot run in machines of their own here:';
  if (!has.hasImage) return `${cannot} there is no image, and none can be built.`;
  if (!has.hasGit) return `${cannot} git is missing, which takes their source from the checkout.`;
  if (taken.probe.ownKernel) return 'Jobs run in machines of their own here.';
  return `Jobs run by ${taken.driver.name} here, in no virtual machine: docs/drivers.md says what is between them and this host.`;
}

/** onejob's own image, or what a build of it would need. */
type OwnImage = { image?: GuestImage | undefined; problem?: string };

async function tryImage(store: ImageStore): Promise<OwnImage> {
  try {
    return { image: await store.check() };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function describeImage({ image, problem }: OwnImage, stored: number): string {
  if (problem !== undefined) return `not there, and ${problem}`;
  if (image === undefined) return 'none yet; the first run builds one: onejob image build';
  return `${image.name} ${image.digest.slice(0, 12)} (${stored} stored: onejob image list)`;
}

export type ReapFlags = { kept: boolean; dryRun: boolean; json: boolean };

export async function reap(flags: ReapFlags, dataDirectory: string | undefined): Promise<ExitCode> {
  using _ = new Interrupts();
  const directories = findDirectories(dataDirectory);
  const { dryRun } = flags;
  const report = await (dryRun ? listLeftovers(directories) : reapLeftovers(directories));
  const { isOwned, failed } = report;
  const kept = flags.kept ? await keptSandboxes(directories.data, { isRemoved: !dryRun }) : [];
  const entries = [...report.entries, ...kept];
  const code = failed.length === 0 ? EXIT.success : EXIT.platform;
  if (flags.json) {
    print(JSON.stringify({ entries, failed, isOwned }));
    return code;
  }
  if (entries.length > 0) print(table(entries.map(describeLeftover)));
  for (const what of failed) print(`FAILED ${what}`);
  if (entries.length + failed.length === 0) print('Nothing was left behind.');
  if (isOwned) {
    print(
      `A onejob is running on ${directories.data} and buries what it runs: besides, only what nobody ` +
        'owns and what is older than any job may be was looked for.',
    );
  }
  return code;
}

const describeLeftover = ({ outcome, name, ageMs, why }: ReapEntry): string[] => [
  outcome,
  name,
  ageMs === null ? 'of unknown age' : `${duration(ageMs)} old`,
  why,
];

/** What `run --keep` kept, by name. */
async function keptSandboxes(
  dataDirectory: string,
  { isRemoved }: { isRemoved: boolean },
): Promise<ReapEntry[]> {
  const kept = join(dataDirectory, 'agent', 'kept');
  const names = await readdir(kept).catch(() => []);
  const entries = await Promise.all(
    names.map(async (name): Promise<ReapEntry> => {
      const { mtimeMs } = await stat(join(kept, name));
      return {
        kind: 'kept',
        name: `kept ${name}`,
        sandboxId: name,
        why: '--kept was asked for',
        ageMs: Date.now() - mtimeMs,
        outcome: isRemoved ? 'removed' : 'to be removed',
      };
    }),
  );
  if (isRemoved) await rm(kept, { recursive: true, force: true });
  return entries;
}
