/**
 * Puts the Node that is asked for on the PATH. In this order: the one that is there, if it fits and npm
 * is beside it; one that an earlier step has downloaded; one from nodejs.org or the mirror. Where that
 * is out of reach, the one that is there serves without npm, and the log says so.
 */
import { addPath, warning } from '@actions/core';
import { getExecOutput } from '@actions/exec';
import { which } from '@actions/io';
import { cacheDir, find } from '@actions/tool-cache';
import { arch as ownArchitecture } from 'node:os';
import { join } from 'node:path';
import { say } from '../toolkit/inputs.ts';
import { messageOf } from '../toolkit/run-action.ts';
import { chooseRelease, isFitting, readWanted, type Wanted } from './choose-version.ts';
import { parseObject } from './json-object.ts';
import type { NodeDist } from './node-dist.ts';

/** As archives of Node are named, where that is not the architecture's own name. */
const ARCHIVE_NAMES: Readonly<Record<string, string>> = { arm: 'armv7l', ia32: 'x86' };

const ARCHITECTURE = /^[a-z0-9]{1,16}$/i;

type PresentNode = { version: string; lts: string; arch: string; hasNpm: boolean };

export type NodeWish = { spec: string; arch: string; checkLatest: boolean };

const QUESTION =
  'console.log(JSON.stringify({ version: process.versions.node, lts: process.release.lts, arch: process.arch }))';

/** The Node that `node` means now; undefined: there is none, or it does not run. */
async function findPresent(): Promise<PresentNode | undefined> {
  if ((await which('node')) === '') return undefined;
  const { exitCode, stdout } = await getExecOutput('node', ['-e', QUESTION], {
    silent: true,
    ignoreReturnCode: true,
  });
  const { arch, lts, version } = (exitCode === 0 ? parseObject(stdout) : undefined) ?? {};
  if (typeof version !== 'string' || typeof arch !== 'string') return undefined;
  const hasNpm = (await which('npm')) !== '';
  return { version, arch, lts: typeof lts === 'string' ? lts : '', hasNpm };
}

function useKept(spec: string, arch: string): boolean {
  const path = find('node', spec, arch);
  if (path === '') return false;
  say(`Found in cache @ ${path}`);
  addPath(join(path, 'bin'));
  return true;
}

class Installation {
  readonly #dist: NodeDist;
  readonly #wish: NodeWish;
  readonly #wanted: Wanted;
  readonly #arch: string;
  #present: PresentNode | undefined;

  constructor(wish: NodeWish, dist: NodeDist) {
    this.#dist = dist;
    this.#wish = wish;
    this.#wanted = readWanted(wish.spec);
    this.#arch = wish.arch || ownArchitecture();
    // It becomes part of a path.
    if (!ARCHITECTURE.test(this.#arch)) {
      throw new Error(`The input 'architecture' names none: ${this.#arch}`);
    }
  }

  async run(): Promise<void> {
    this.#present = await findPresent();
    if (this.#wanted.kind === 'range' && !this.#wish.checkLatest) {
      const { range } = this.#wanted;
      if (this.#usePresent((version) => isFitting(this.#wanted, { version, lts: '' }))) return;
      if (useKept(range, this.#arch)) return;
    }
    try {
      await this.#useRelease();
    } catch (error) {
      if (!this.#fallBack(messageOf(error))) throw error;
    }
  }

  /** @param fits of a version, whether it is meant */
  #usePresent(fits: (version: string) => boolean): boolean {
    const present = this.#present;
    if (present === undefined || present.arch !== this.#arch || !present.hasNpm) return false;
    if (!fits(present.version)) return false;
    say(`Node ${present.version} of this machine is used.`);
    return true;
  }

  async #useRelease(): Promise<void> {
    const { spec } = this.#wish;
    const platform = `linux-${ARCHIVE_NAMES[this.#arch] ?? this.#arch}`;
    say(`Attempting to download ${spec}...`);
    const release = chooseRelease(await this.#dist.releases(), this.#wanted, platform);
    if (release === undefined) {
      throw new Error(
        `Unable to find Node version '${spec}' for platform linux and architecture ${this.#arch}.`,
      );
    }
    if (this.#usePresent((version) => version === release)) return;
    if (useKept(release, this.#arch)) return;
    say(`Acquiring ${release} - ${this.#arch}`);
    const unpacked = await this.#dist.fetch(release, platform);
    const kept = await cacheDir(unpacked, 'node', release, this.#arch);
    addPath(join(kept, 'bin'));
  }

  /** Whether the Node that is there will do, although nothing can be downloaded. */
  #fallBack(why: string): boolean {
    const present = this.#present;
    if (present === undefined || present.arch !== this.#arch) return false;
    const isAnyLts = this.#wanted.kind === 'lts' && this.#wanted.alias === '*';
    if (!isFitting(this.#wanted, present) && !(isAnyLts && present.lts !== '')) return false;
    const lack = present.hasNpm ? '' : ' This machine has no npm.';
    warning(`${why} Node ${present.version} of this machine is used instead.${lack}`);
    return true;
  }
}

/** @throws Error with what was tried */
export async function installNode(wish: NodeWish, dist: NodeDist): Promise<void> {
  await new Installation(wish, dist).run();
}
