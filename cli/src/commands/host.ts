/** `onejob doctor` and `onejob reap`: what this host can do, and what was left on it. */
import { rm } from 'node:fs/promises';
import { freemem, totalmem, availableParallelism } from 'node:os';
import { join } from 'node:path';
import { tryGit } from '../checkout/git.ts';
import { findDirectories, terminalStyle } from '../config/environment.ts';
import { ImageStore } from '../embedded/images.ts';
import { reapLeftovers, tryDrivers } from '../embedded/platform.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { painter } from '../show/style.ts';
import { table } from '../show/table.ts';
import { bytes } from '../show/time.ts';
import { Interrupts } from './interrupt.ts';

const print = (text: string): void => void process.stdout.write(`${text}\n`);

export async function doctor(
  flags: { json: boolean },
  dataDirectory: string | undefined,
): Promise<ExitCode> {
  const directories = findDirectories(dataDirectory);
  const drivers = await tryDrivers(directories);
  const { images } = await new ImageStore(directories.cache).list();
  const gitVersion = await tryGit(['--version'], { directory: '/' }).catch(() => undefined);
  const works = drivers.some(({ probe }) => probe.works && probe.ownKernel);
  if (flags.json) {
    const report = drivers.map(({ driver, probe }) => ({ driver: driver.name, ...probe }));
    print(JSON.stringify({ drivers: report, images, gitVersion, directories }));
    return works ? EXIT.success : EXIT.platform;
  }
  const paint = painter(terminalStyle(process.stdout).color);
  const sign = (good: boolean): string => (good ? paint('green', '✓') : paint('red', '✗'));
  const rows = [
    ...drivers.map(({ driver, probe }) => [
      `${sign(probe.works)} driver ${driver.name}`,
      `${probe.note}${probe.ownKernel ? '' : ' (never chosen by auto)'}`,
    ]),
    [`${sign(gitVersion !== undefined)} git`, gitVersion ?? 'missing: apt-get install git'],
    [
      `${sign(images.length > 0)} image`,
      images[0] === undefined
        ? 'none yet; the first run builds one: onejob image build'
        : `${images[0].name} ${images[0].digest.slice(0, 12)} (${images.length} in ${directories.cache})`,
    ],
    ['  host', `${availableParallelism()} CPUs, ${bytes(freemem())} of ${bytes(totalmem())} free`],
    ['  data', directories.data],
  ];
  print(table(rows));
  print(
    works
      ? 'Jobs run in machines of their own here.'
      : 'No driver with a kernel of its own works here.',
  );
  return works ? EXIT.success : EXIT.platform;
}

export async function reap(
  flags: { kept: boolean },
  dataDirectory: string | undefined,
): Promise<ExitCode> {
  using _ = new Interrupts();
  const directories = findDirectories(dataDirectory);
  const report = await reapLeftovers(directories);
  if (flags.kept) {
    await rm(join(directories.data, 'agent', 'kept'), { recursive: true, force: true });
    print('removed kept sandboxes');
  }
  for (const what of report.removed) print(`removed ${what}`);
  for (const what of report.failed) print(`FAILED ${what}`);
  if (report.removed.length + report.failed.length === 0) print('Nothing was left behind.');
  return report.failed.length === 0 ? EXIT.success : EXIT.platform;
}
