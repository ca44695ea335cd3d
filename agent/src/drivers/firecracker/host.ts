/** What a machine of Firecracker's needs of its host, found out by trying. */
import { realpath, writeFile } from 'node:fs/promises';
import { basename, isAbsolute, join } from 'node:path';
import { AgentError } from '../../errors.ts';
import { findCgroups, type Cgroups } from '../../host/cgroup.ts';
import { obstacleToKvm } from '../../host/kvm-probe.ts';
import { claimUser, releaseUser, SANDBOX_USERS, takeUser } from '../../host/sandbox-user.ts';
import { findTool, runTool, type ToolResult } from '../../host/short-tool.ts';
import { openTrialPlace } from '../../sandbox/trial-place.ts';
import {
  OLDEST_VERSION,
  SHAPE_LIMITS,
  TRIAL_TRIES_MS,
  VERSION_TIMEOUT_MS,
  type FirecrackerDriverConfig,
} from './config.ts';
import { furnishJail } from './jail.ts';
import { TINY_GUEST_SAYS, tinyGuest, tinyMachine } from './tiny-guest.ts';

export type Host = {
  /** Free of links: the jailer names a directory after it. */
  firecrackerPath: string;
  jailerPath: string;
  cgroups: Cgroups;
  note: string;
};

const WHERE = 'https://github.com/firecracker-microvm/firecracker/releases';
/** docs/jailer.md, "Jailer Usage": the jailer takes no other program. */
const NAME_HOLDS = 'firecracker';

/** Throws `tool_missing` or `driver_unavailable`, with what is missing or does not work. */
export async function findHost(config: FirecrackerDriverConfig): Promise<Host> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw unavailable(
      `The guest image is for x86-64 machines; this is ${process.platform} on ${process.arch}.`,
    );
  }
  const { firecrackerPath, jailerPath } = await findPrograms(config);
  const [version, jailerVersion] = await Promise.all([
    readVersion(firecrackerPath),
    readVersion(jailerPath),
  ]);
  checkVersions(version, jailerVersion);
  if (process.getuid?.() !== 0) {
    throw unavailable("The firecracker driver takes root; so does Firecracker's jailer.");
  }
  const cgroups = await findCgroups();
  if ('whyNot' in cgroups) {
    throw unavailable(`Its memory and processors cannot be limited here: ${cgroups.whyNot}`);
  }
  const obstacle = await (config.kvm?.obstacle ?? obstacleToKvm)();
  if (obstacle !== undefined) {
    throw unavailable(`Firecracker ${version} runs no guest without KVM: ${obstacle}.`);
  }
  const host = { firecrackerPath, jailerPath, cgroups };
  await tryGuest(config, host);
  const note = `Firecracker ${version}, KVM; its work disk is not encrypted; takes an image with vsock, and onejob's own has none yet; shown against a stand-in only, so never chosen by auto`;
  return { ...host, note };
}

const unavailable = (message: string): AgentError => new AgentError('driver_unavailable', message);

async function findPrograms({
  settings = {},
}: FirecrackerDriverConfig): Promise<Pick<Host, 'firecrackerPath' | 'jailerPath'>> {
  const programs = { firecracker: settings.firecrackerPath, jailer: settings.jailerPath };
  const found: string[] = [];
  const missing: string[] = [];
  for (const [name, wanted] of Object.entries(programs)) {
    if (wanted !== undefined && !isAbsolute(wanted)) {
      throw new AgentError(
        'invalid_configuration',
        `The path ${wanted} of ${name} is not absolute: write it in full in the settings of the firecracker driver.`,
      );
    }
    const named = wanted ?? (await findTool(name));
    const path = named === undefined ? undefined : await realpath(named).catch(() => undefined);
    if (path === undefined) missing.push(wanted ?? name);
    else found.push(path);
  }
  const [firecrackerPath, jailerPath] = found;
  if (missing.length > 0 || firecrackerPath === undefined || jailerPath === undefined) {
    throw new AgentError(
      'tool_missing',
      `Not installed: ${missing.join(', ')}. Debian has no package: both programs of one release are at ${WHERE}, for /usr/local/bin`,
    );
  }
  if (basename(firecrackerPath).includes(NAME_HOLDS)) return { firecrackerPath, jailerPath };
  throw unavailable(
    `The jailer starts no program whose name does not hold "${NAME_HOLDS}", and this is ${firecrackerPath}: rename it.`,
  );
}

/** `Firecracker v1.10.1`, `Jailer v1.10.1`; what follows a version (`-dev`) is not looked at. */
async function readVersion(path: string): Promise<string> {
  const result = await runTool(path, ['--version'], { timeoutMs: VERSION_TIMEOUT_MS });
  const version = /^(?:Firecracker|Jailer) v(\d+\.\d+\.\d+)/im.exec(result.standardOutput)?.[1];
  if (version !== undefined && result.exitCode === 0) return version;
  const said = result.timedOut ? 'it hangs' : lastLine(result) || 'it names no version';
  throw unavailable(`${path} does not start: ${said}. Install it again from ${WHERE}`);
}

function checkVersions(version: string, jailerVersion: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const { major: oldestMajor, minor: oldestMinor } = OLDEST_VERSION;
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
    throw unavailable(
      `Firecracker ${version} is too old: from ${oldestMajor}.${oldestMinor} on it tells guests of their devices in a way that the image's kernel reads. A newer one is at ${WHERE}`,
    );
  }
  if (version === jailerVersion) return;
  throw unavailable(
    `Firecracker is ${version} and its jailer ${jailerVersion}: install both of one release, from ${WHERE}`,
  );
}

const lastLine = ({ standardError, standardOutput }: ToolResult): string =>
  (standardError.trim() || standardOutput.trim()).split('\n').at(-1)?.slice(0, 300) ?? '';

/** Runs the tiny guest as a machine will run: in a jail, as a user of its own, against the clock. */
async function tryGuest(config: FirecrackerDriverConfig, host: Omit<Host, 'note'>): Promise<void> {
  let whyNot = '';
  for (const timeoutMs of config.kvm?.triesMs ?? TRIAL_TRIES_MS) {
    const result = await runTinyGuest(config, host, timeoutMs);
    if (result.exitCode === 0 && result.standardOutput.includes(TINY_GUEST_SAYS)) return;
    whyNot = result.timedOut
      ? `a tiny guest that needs 0.1 s was not done after ${timeoutMs / 1000} s`
      : `a tiny guest did not run: ${lastLine(result) || `exit ${result.exitCode ?? 'by signal'}`}`;
    if (!result.timedOut) break;
  }
  throw unavailable(`Firecracker runs no guest here: ${whyNot}.`);
}

async function runTinyGuest(
  { cacheDirectory, hostMarker, users = SANDBOX_USERS }: FirecrackerDriverConfig,
  { firecrackerPath, jailerPath, cgroups }: Omit<Host, 'note'>,
  timeoutMs: number,
): Promise<ToolResult> {
  // A sandbox of no job: should we die meanwhile, all of it is the reaper's.
  await using place = await openTrialPlace({ cacheDirectory, hostMarker });
  const { sandboxId, directory, environment } = place;
  const user = await takeUser(users, async (uid) => await claimUser(uid, place));
  try {
    const paths = { kernel: join(directory, 'kernel'), machine: join(directory, 'machine.json') };
    await writeFile(paths.kernel, tinyGuest(), { mode: 0o444 });
    await writeFile(paths.machine, JSON.stringify(tinyMachine('/kernel')), { mode: 0o444 });
    const jail = {
      ...{ firecrackerPath, jailerPath, user, cgroupVersion: cgroups.version },
      ...{ sandboxId, baseDirectory: directory, networkNamespace: undefined },
      files: [
        { source: paths.kernel, target: '/kernel', access: 'read' },
        { source: paths.machine, target: '/machine.json', access: 'read' },
      ] as const,
      largestFileBytes: SHAPE_LIMITS.smallestDiskBytes,
    };
    const words = await furnishJail(jail, ['--no-api', '--config-file', '/machine.json']);
    const [command = '', ...args] = words;
    const limits = { timeoutMs, environment };
    return await runTool((await findTool(command)) ?? command, args, limits);
  } finally {
    await releaseUser(user, place);
  }
}
