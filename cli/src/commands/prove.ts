/**
 * `onejob prove`: attacks on a sandbox of this host, with their controls, in a signed report.
 *
 * As root the work is done by a second process of this command, in namespaces of its own
 * (`--inside`): there attacks may get through and harm nobody. What it found comes back as a file;
 * only this process has the host's key.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { NetworkMode } from '@onejob/protocol';
import {
  checkOnly,
  countVerdicts,
  ensureHostKey,
  hostFacts,
  isProved,
  prove,
  PROOF_LABEL,
  ProveError,
  REPORT_VERSION,
  runIsolated,
  setScene,
  signReport,
  startEngineOfProof,
  verifyReport,
  whyNoEngine,
  whyNotIsolated,
  type Proof,
  type Report,
} from '@onejob/prove';
import {
  environmentValue,
  findDirectories,
  terminalStyle,
  userEnvironment,
} from '../config/environment.ts';
import type { Directories } from '../config/environment.ts';
import { ImageStore } from '../embedded/images.ts';
import { tryDrivers, unpackInto } from '../embedded/owner.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { buildProgress } from '../show/build-progress.ts';
import { showProof, tellHeld } from '../show/proof.ts';
import { painter, safeText } from '../show/style.ts';
import { Interrupts } from './interrupt.ts';
import { NOTHING_HELD, openLab } from './prove-lab.ts';

export type ProveFlags = {
  driver: string;
  network: NetworkMode;
  only?: string[];
  json: boolean;
  report?: string;
  verify?: string;
  key?: string;
  inside?: string;
};

/** The value that the agent of a proof has in its environment, for attacks to look for. */
const AGENT_VARIABLE = 'ONEJOB_PROVE_VALUE';
const KEY_FILE = 'host-key.pem';
const MAIN = join(import.meta.dirname, '..', 'main.ts');
const ROOT = join(import.meta.dirname, '..', '..', '..');
const VERSION = '0.1.0';

const tell = (line: string): void => void process.stderr.write(`onejob: ${line}\n`);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

export async function proveCommand(
  flags: ProveFlags,
  dataDirectory: string | undefined,
): Promise<ExitCode> {
  if (flags.inside !== undefined) return await proveInside(flags.inside);
  if (flags.verify !== undefined) return await verify(flags.verify, flags);
  if (flags.key !== undefined) {
    throw new CliError('usage', '--key says who must have signed a report: give it with --verify.');
  }
  using interrupts = new Interrupts();
  const only = flags.only ?? [];
  usable(() => checkOnly(only));
  const directories = findDirectories(dataDirectory);
  const notIsolated = (await whyNotIsolated()) ?? '';
  const { network } = flags;
  const driver = await chooseDriver(flags, directories, notIsolated);
  const image =
    driver === 'process' ? '' : await readyImage(driver, directories, interrupts.signal);
  const key = await ensureHostKey(join(directories.data, KEY_FILE)).catch(refuse);
  const startedAt = new Date().toISOString();
  if (notIsolated !== '') tell(`no namespaces for the proof: ${notIsolated}; less is tried`);
  const task = { driver, network, only, notIsolated, image, cache: directories.cache };
  const proof = await inScratch(task, interrupts.signal);
  const report: Report = {
    version: REPORT_VERSION,
    startedAt,
    finishedAt: new Date().toISOString(),
    onejob: VERSION,
    ...{ driver: proof.driver, network, image },
    host: hostFacts(),
    notIsolated,
    only: [...only],
    notes: proof.notes,
    totals: countVerdicts(proof.findings),
    findings: proof.findings,
  };
  const signed = signReport(report, key);
  if (flags.report !== undefined) await writeFile(flags.report, signed);
  if (flags.json) process.stdout.write(signed);
  else print(showProof(report, painter(terminalStyle(process.stdout).color)));
  return isProved(report.findings) ? EXIT.success : EXIT.jobFailed;
}

/**
 * The driver's own name, where it works here. A proof has a container engine of its own: the host's runs
 * its containers on the real host, where nothing that an attack looks for is laid out.
 */
async function chooseDriver(
  { driver: wish, network }: ProveFlags,
  directories: Directories,
  notIsolated: string,
): Promise<string> {
  if (network === 'nat' && notIsolated !== '') {
    const message = `--network nat cannot be proved here without a host of the proof's own: ${notIsolated}.`;
    throw new CliError('driver_unavailable', message);
  }
  const hasOwnEngine = notIsolated === '';
  const drivers = await tryDrivers(directories, { processSettings: NOTHING_HELD });
  const fitting = drivers.filter(({ probe }) => network === 'link' || probe.card !== undefined);
  const found = fitting.find(({ driver, probe }) => {
    if (wish === 'auto') return probe.works && probe.auto;
    return driver.name === wish && (probe.works || (wish === 'docker' && hasOwnEngine));
  })?.driver.name;
  const whyNot = found === 'docker' && hasOwnEngine ? whyNoEngine() : undefined;
  if (whyNot !== undefined) {
    const message = `A proof of docker starts a container engine of its own: ${whyNot}.`;
    throw new CliError('driver_unavailable', message);
  }
  if (found !== undefined) return found;
  const notes = drivers.map(({ driver, probe }) => {
    const isFitting = fitting.some((one) => one.driver === driver);
    return `\n  ${driver.name}: ${isFitting ? probe.note : `its machines have no network mode ${network}`}`;
  });
  const which = network === 'link' ? wish : `${wish} with --network ${network}`;
  throw new CliError(
    'driver_unavailable',
    `There is no driver ${which} to prove here:${notes.join('')}`,
  );
}

/**
 * The digest of the image that ordinary jobs with the labels of the proof's own get now: its jobs are given
 * that one, whatever is promoted meanwhile. Built here: in the namespaces of the proof it would be gone
 * with them.
 */
async function readyImage(
  driver: string,
  directories: Directories,
  signal: AbortSignal,
): Promise<string> {
  const live = terminalStyle(process.stderr).live ? process.stderr : undefined;
  const progress = buildProgress(live, (line) => void process.stderr.write(`${line}\n`));
  const store = new ImageStore(directories.cache, signal);
  const image =
    (await store.findPromoted([PROOF_LABEL])) ??
    (await store.build(false, (one) => progress.show(one)).finally(() => progress.end()));
  if (driver !== 'qemu' && process.getuid?.() === 0) await unpackInto(directories, image);
  return image.digest;
}

type Task = {
  driver: string;
  network: NetworkMode;
  only: readonly string[];
  notIsolated: string;
  /** Empty: jobs of that driver have none. */
  image: string;
  cache: string;
};
/** What the process inside is told, in a file. */
type InsideTask = Task & { work: string; mark: string };

async function inScratch(task: Task, signal: AbortSignal): Promise<Proof> {
  await using undo = new AsyncDisposableStack();
  const work = await mkdtemp(join(await realpath(tmpdir()), 'onejob-prove-'));
  undo.defer(async () => await rm(work, { recursive: true, force: true }));
  if (task.notIsolated !== '') return await proveHere({ ...task, work, mark: '' }, signal);
  const mark = randomBytes(8).toString('hex');
  const file = join(work, 'task.json');
  await writeFile(file, JSON.stringify({ ...task, work, mark } satisfies InsideTask));
  const code = await runIsolated({
    command: process.execPath,
    args: [MAIN, 'prove', '--inside', file],
    environment: {
      ...userEnvironment(),
      HOME: homedir(),
      [AGENT_VARIABLE]: `prove-agent-${randomBytes(12).toString('hex')}`,
    },
    work,
    needed: [ROOT, dirname(process.execPath), task.cache],
    mark,
    signal,
  });
  signal.throwIfAborted();
  const found = await readFile(join(work, 'proof.json'), 'utf8').catch(() => undefined);
  if (code === 0 && found !== undefined) return JSON.parse(found) as Proof;
  throw new CliError('platform_error', `The proof ended early, with exit code ${code}.`);
}

/** The second process: in namespaces of its own, until its work is done or its input ends. */
async function proveInside(file: string): Promise<ExitCode> {
  using interrupts = new Interrupts();
  const left = new AbortController();
  process.stdin.resume().once('end', () => left.abort(new CliError('interrupted', 'Interrupted.')));
  try {
    const task = JSON.parse(await readFile(file, 'utf8')) as InsideTask;
    const proof = await proveHere(task, AbortSignal.any([interrupts.signal, left.signal]));
    await writeFile(join(task.work, 'proof.json'), JSON.stringify(proof));
    return EXIT.success;
  } finally {
    process.stdin.destroy();
  }
}

async function proveHere(task: InsideTask, signal: AbortSignal): Promise<Proof> {
  const { work, mark, driver, network, only, notIsolated, cache } = task;
  await using undo = new AsyncDisposableStack();
  const scene =
    mark === ''
      ? undefined
      : undo.use(
          await setScene(mark, environmentValue(AGENT_VARIABLE) ?? '', { network, work }).catch(
            refuse,
          ),
        );
  const engine =
    scene === undefined || driver !== 'docker'
      ? undefined
      : undo.use(await startEngineOfProof(work, mark));
  const image = task.image === '' ? undefined : task.image;
  const both = { cache, image, engine, say: tell, signal };
  const lab = undo.use(await openLab({ ...both, work, driver, network }));
  const openObeying = async () =>
    await openLab({
      ...both,
      work: join(work, 'obeying'),
      driver,
      network: 'link',
      obeyingDevice: true,
    });
  const all = { driver, network, only, lab, scene, notIsolated, say: tell, openObeying };
  if (network === 'link') return await prove(all);
  // Machines of the driver process have no network of their own, so the control's have none to lose.
  const off = join(work, 'off');
  const controlLab = undo.use(
    await openLab({ ...both, work: off, driver: 'process', network: 'link' }),
  );
  return await prove({ ...all, controlLab });
}

async function verify(file: string, { key, json }: ProveFlags): Promise<ExitCode> {
  const text = await readFile(file, 'utf8').catch((cause: Error) => {
    throw new CliError('file_unreadable', `${file} cannot be read: ${cause.message}.`, { cause });
  });
  const { report, fingerprint } = usable(() => verifyReport(text, key));
  if (json) {
    print(JSON.stringify({ verified: true, fingerprint, totals: report.totals }));
    return EXIT.success;
  }
  const { broken } = report.totals;
  const network = report.network ?? 'link';
  print(
    `Signed by the key ${fingerprint} on ${safeText(report.finishedAt, false)}; not altered since.`,
  );
  print(
    `It says: driver ${safeText(report.driver.name, false)} (${safeText(report.driver.note, false)}), network ${network}, ${tellHeld(report)}, ${broken} broken, ` +
      `${report.totals['not counted']} not counted, ${report.totals['not tried']} not tried.`,
  );
  print(
    'That the report was not altered since this key signed it is all this proves: not that the host ' +
      'told the truth, nor whose key it is. Compare the fingerprint with what the owner of the host ' +
      'gave you: --key <fingerprint>.',
  );
  return EXIT.success;
}

/** What the zone of proofs refuses is the user's to mend. */
function usable<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    return refuse(error);
  }
}

function refuse(error: unknown): never {
  if (!(error instanceof ProveError)) throw error;
  const codes = {
    report_invalid: 'invalid_input',
    unknown_attack: 'usage',
    key_unusable: 'directory_unusable',
    walls_missing: 'platform_error',
  } as const;
  throw new CliError(codes[error.code], error.message, { cause: error });
}
