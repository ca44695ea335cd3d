/**
 * An apt of our own beside the host's: same programs, own sources, own lists, no installed packages.
 * How to reach an archive (proxies, certificates, time-outs, passwords) is taken over from the host;
 * its hooks, pins and further index files are not.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunTool } from './tool.ts';

const REACHING_ARCHIVES =
  /^(Acquire::(https?|ftp|tor|Retries|Queue-Mode|Check-Valid-Until|Check-Date|ForceIPv[46])(::\S*)?) ".*[^"]"$/i;

/** Where the host keeps passwords of archives: auth.conf(5). */
const PASSWORDS: readonly string[] = [
  'Dir::Etc::netrc "/etc/apt/auth.conf"',
  'Dir::Etc::netrcparts "/etc/apt/auth.conf.d"',
];

/** The host's apt options that say how to reach an archive, one `Name "value"` each. */
export async function hostAcquireOptions(run: RunTool): Promise<string[]> {
  const command = ['apt-config', 'dump', '--no-empty', '--format', '%f "%v"%n'] as const;
  // a proxy is often given with its password
  return selectAcquireOptions(await run({ step: 'resolve', command, isOutputSecret: true }));
}

export function selectAcquireOptions(dump: string): string[] {
  const chosen = dump.split('\n').filter((line) => REACHING_ARCHIVES.test(line));
  return [...chosen, ...PASSWORDS];
}

/** Writes the configuration below `directory`; returns the words to put before an apt command. */
export async function aptConfiguration(
  run: RunTool,
  directory: string,
  sources: string,
): Promise<['env', string]> {
  await mkdir(join(directory, 'state/lists/partial'), { recursive: true });
  await mkdir(join(directory, 'cache/archives/partial'), { recursive: true });
  const path = join(directory, 'apt.conf');
  await writeFile(join(directory, 'status'), '');
  await writeFile(join(directory, 'debian.sources'), sources);
  const lines = [
    ...(await hostAcquireOptions(run)),
    'Dir::Etc::Parts "/dev/null"',
    'Dir::Etc::Main "/dev/null"',
    `Dir::Etc::SourceList "${directory}/debian.sources"`,
    'Dir::Etc::SourceParts "/dev/null"',
    'Dir::Etc::Preferences "/dev/null"',
    'Dir::Etc::PreferencesParts "/dev/null"',
    `Dir::State "${directory}/state"`,
    `Dir::State::status "${directory}/status"`,
    `Dir::Cache "${directory}/cache"`,
    'APT::Architecture "amd64"',
    'APT::Architectures "amd64"',
    'Acquire::Languages "none"',
    // the directory may be private to this user, so downloads are not handed to another one
    'APT::Sandbox::User ""',
  ];
  await writeOptions(path, lines);
  return ['env', `APT_CONFIG=${path}`];
}

/** Options may hold passwords: in a file for this user alone, never in the words of a command. */
export async function writeOptions(path: string, options: readonly string[]): Promise<void> {
  await rm(path, { force: true });
  const text = options.map((option) => `${option};\n`).join('');
  await writeFile(path, text, { flag: 'wx', mode: 0o600 });
}
