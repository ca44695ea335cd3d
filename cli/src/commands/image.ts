/** `onejob image build|list|import|remove`: the guest images of this host. */
import { resolve } from 'node:path';
import { findDirectories, terminalStyle } from '../config/environment.ts';
import { ImageStore, rolesOf, type GuestImage } from '../embedded/images.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { buildProgress } from '../show/build-progress.ts';
import { painter, safeText } from '../show/style.ts';
import { table } from '../show/table.ts';
import { bytes, duration } from '../show/time.ts';
import { describeCounts, describeHistory } from './image-promotion.ts';
import { Interrupts } from './interrupt.ts';

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const store = (signal?: AbortSignal): ImageStore =>
  new ImageStore(findDirectories(undefined).cache, signal);
const short = (digest: string): string => digest.slice(0, 12);

/** Changes of what new jobs get that are shown; `--json` has all. */
const SHOWN_HISTORY = 10;

function describe(image: GuestImage): string {
  const took = image.buildTimeMs === 0 ? '' : `, built in ${duration(image.buildTimeMs)}`;
  const steps = image.steps.map((one) => `${one.step} ${duration(one.elapsedMs)}`).join(', ');
  return [
    `${image.name} ${short(image.digest)}  ${bytes(image.sizeBytes)}${took}`,
    `  kernel ${image.kernelVersion}, Node ${image.nodeVersion}, ${image.packages.length} packages`,
    ...(steps === '' ? [] : [`  ${steps}`]),
  ].join('\n');
}

const stepProgress = (): ReturnType<typeof buildProgress> =>
  buildProgress(
    terminalStyle(process.stderr).live ? process.stderr : undefined,
    (line) => void process.stderr.write(`${line}\n`),
  );

export async function imageBuild(flags: { force: boolean }): Promise<ExitCode> {
  using interrupts = new Interrupts();
  const progress = stepProgress();
  const image = await store(interrupts.signal)
    .build(flags.force, (one) => progress.show(one))
    .finally(() => progress.end());
  print(describe(image));
  return EXIT.success;
}

export async function imageList(flags: { json: boolean }): Promise<ExitCode> {
  const [{ images, broken }, promotions] = await Promise.all([
    store().list(),
    store().promotions(),
  ]);
  const roles = rolesOf(promotions);
  const summaries = new Map(
    await Promise.all(
      images.map(async ({ digest }) => [digest, await store().reportSummary(digest)] as const),
    ),
  );
  if (flags.json) {
    const described = images.map((image) => ({
      ...image,
      roles: roles.get(image.digest) ?? [],
      report: summaries.get(image.digest) ?? null,
      history: promotions.history.filter(({ digest }) => digest === image.digest),
    }));
    print(JSON.stringify(described));
    return EXIT.success;
  }
  const paint = painter(terminalStyle(process.stdout).color);
  const header = ['digest', 'name', 'new jobs', 'size', 'built in', 'packages', 'findings'];
  const rows = images.map((image) => [
    short(image.digest),
    image.name,
    (roles.get(image.digest) ?? ['-']).join(', '),
    bytes(image.sizeBytes),
    image.buildTimeMs === 0 ? '-' : duration(image.buildTimeMs),
    String(image.packages.length),
    describeCounts(summaries.get(image.digest)?.counts ?? null),
    image.kernelVersion,
    image.nodeVersion,
    image.createdAt.slice(0, 16).replace('T', ' '),
  ]);
  if (images.length === 0) print('No images yet. Build one with: onejob image build');
  else
    print(
      table([[...header, 'kernel', 'node', 'created'].map((cell) => paint('dim', cell)), ...rows]),
    );
  if (promotions.history.length > 0) {
    print(`\n${describeHistory(promotions.history, SHOWN_HISTORY)}`);
  }
  for (const one of broken) print(`broken: ${short(one.digest)}: ${one.error.message}`);
  return EXIT.success;
}

export async function imageImport(path: string, flags: { name?: string }): Promise<ExitCode> {
  using interrupts = new Interrupts();
  const progress = stepProgress();
  const { image, notes } = await store(interrupts.signal)
    .import(resolve(path), flags.name, (one) => progress.show(one))
    .finally(() => progress.end());
  print(`imported ${describe(image)}`);
  for (const note of notes) print(`  note: ${safeText(note, false)}`);
  return EXIT.success;
}

export async function imageRemove(reference: string): Promise<ExitCode> {
  const digest = await store().remove(reference);
  print(`removed ${short(digest)}`);
  return EXIT.success;
}
