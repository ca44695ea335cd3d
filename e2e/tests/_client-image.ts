/**
 * A guest image with the package managers of Debian beside what every guest has, made the way a user
 * makes one: a root file system that is imported. It takes minutes, and the host's apt sources.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { importArchive, removeImage, type GuestImage } from '@onejob/image';
import { hostAcquireOptions, writeOptions } from '@onejob/image/apt-configuration';
import { formatSources, readDebianArchives } from '@onejob/image/apt-sources';
import { PACKAGES, RELEASE } from '@onejob/image/recipe';
import { TEST_CACHE } from '@onejob/testing';

const CLIENTS = ['cargo', 'docker.io', 'golang-go', 'iputils-ping', 'python3-pip'];
/** Its mounts and processes end with it. */
const CONTAINED = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--'];

export type ClientImage = AsyncDisposable & { readonly image: GuestImage };

/** @param directory for what is made on the way */
export async function makeClientImage(directory: string): Promise<ClientImage> {
  const sources = join(directory, 'apt.sources');
  writeFileSync(sources, formatSources(await readDebianArchives('/etc/apt')));
  const aptOptions = join(directory, 'apt.conf');
  const run = async ({
    command: [program, ...words],
  }: {
    command: readonly [string, ...string[]];
  }) => await Promise.resolve(execFileSync(program, words, { encoding: 'utf8' }));
  await writeOptions(aptOptions, [...(await hostAcquireOptions(run)), 'Acquire::Languages "none"']);
  const from = join(directory, 'package-clients.tar');
  execFileSync(
    'unshare',
    [
      ...CONTAINED,
      ...['mmdebstrap', '--variant=apt', '--mode=root', '--architectures=amd64', '--quiet'],
      ...[`--aptopt=${aptOptions}`, `--include=${[...PACKAGES, ...CLIENTS].join(',')}`],
      '--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/apt/sources.list',
      '--customize-hook=rm -f "$1"/etc/apt/sources.list.d/*',
      ...[RELEASE, from, sources],
    ],
    { env: { ...process.env, TMPDIR: directory }, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const { image } = await importArchive({ cacheDir: TEST_CACHE, from });
  return {
    image,
    [Symbol.asyncDispose]: async () => void (await removeImage(TEST_CACHE, image.digest)),
  };
}
