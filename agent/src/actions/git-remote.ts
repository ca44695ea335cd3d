/**
 * A repository of a server, as the agent asks it for an action: by git in a directory of its own,
 * through a guarded proxy in the name of the sandbox that wants it.
 *
 * Promise: it is asked without credentials (no prompt, no helper, no file of the user's), so what
 * comes is what everybody gets; over https, or http where the address says so; git checks every
 * object; nothing of the repository runs: no hook, no filter, no submodule. Time, memory, processor
 * time and bytes are bounded.
 */
import { constants, createWriteStream } from 'node:fs';
import { chown, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { AgentError } from '../errors.ts';
import { printable } from '../guard/authority.ts';
import type { Guard, GuardContext } from '../guard/guard.ts';
import { runBounded, type Confinement } from '../host/bounded-tool.ts';
import { findTool, type ToolResult } from '../host/short-tool.ts';
import {
  ACTION_ARCHIVE_MS,
  ACTION_BYTES,
  ACTION_COMPLAINT_CHARACTERS,
  ACTION_FETCH_MS,
  ACTION_GIT_MEMORY_BYTES,
  ACTION_RESOLVE_MS,
} from '../limits.ts';
import { isFullSha } from './action-reference.ts';
import { ActionUnavailable } from './action-unavailable.ts';
import { diskFull } from './action-store.ts';
import { GuardedProxy } from './guarded-proxy.ts';
import { type FileText, readText } from './read-text.ts';
import { hasTarEnd } from './tar-end.ts';

export type GitRemoteOptions = {
  url: string;
  /** Empty; the repository is made in it. */
  directory: string;
  confinement: Confinement;
  guard: Guard;
  context: GuardContext;
  signal: AbortSignal;
  /** What the largest may have; default: ACTION_BYTES. */
  bytes?: number;
};

export type ResolvedRef = { name: string; commit: string };

const MiB = 1024 * 1024;
/** Where the fetched commit is in the repository of its own. */
const FETCHED = 'refs/onejob/action';
const REPOSITORY = 'repository';
const ARCHIVE = 'archive.tar';
/**
 * What git itself says, in English, of a server that answers 404; and of one that wants a login or
 * refuses (401, 403). Lines of the server's own begin with `remote:`.
 */
const NO_REPOSITORY = /^fatal: repository '.*' not found/;
const NOT_PUBLIC =
  /^(?:fatal|error): (?:could not read Username|Authentication failed|.*returned error: (?:401|403)\b|.*HTTP (?:401|403)\b)/;
const NO_SUCH_COMMIT = /not our ref|unadvertised object|couldn't find remote ref/;
const NO_SPACE = /No space left on device|Disk quota exceeded/;

export class GitRemote implements AsyncDisposable {
  readonly #options: GitRemoteOptions;
  readonly #proxy: GuardedProxy;
  readonly #git: string;
  readonly #bytes: number;
  /** The repository: all that git may write to. */
  readonly #directory: string;

  private constructor(options: GitRemoteOptions, proxy: GuardedProxy, git: string) {
    this.#options = options;
    this.#proxy = proxy;
    this.#git = git;
    this.#bytes = options.bytes ?? ACTION_BYTES;
    this.#directory = join(options.directory, REPOSITORY);
  }

  /** @throws AgentError `tool_missing`, `disk_full` */
  static async open(options: GitRemoteOptions): Promise<GitRemote> {
    const git = await findTool('git');
    if (git === undefined) {
      throw new AgentError('tool_missing', 'Actions of servers need git: apt-get install git');
    }
    const { bytes = ACTION_BYTES, context, directory, guard } = options;
    try {
      await makeRepository(join(directory, REPOSITORY), options.confinement.user);
    } catch (cause) {
      throw isFull(cause) ? diskFull(directory, cause) : cause;
    }
    return new GitRemote(options, await GuardedProxy.open({ guard, context, bytes }), git);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#proxy[Symbol.asyncDispose]();
  }

  get bytesDown(): number {
    return this.#proxy.bytesDown;
  }

  /** What a ref means now; a tag wins over a branch. @throws ActionUnavailable, AgentError */
  async resolve(ref: string): Promise<ResolvedRef> {
    const { url } = this.#options;
    const names = [`refs/tags/${ref}`, `refs/heads/${ref}`];
    const patterns = names.flatMap((name) => [name, `${name}^{}`]);
    const said = await this.#ask(['ls-remote', '--', url, ...patterns], ACTION_RESOLVE_MS);
    const found = new Map(
      said.split('\n').map((line): [string, string] => {
        const [commit = '', name = ''] = line.split('\t', 2);
        return [name, commit];
      }),
    );
    for (const name of names) {
      // What an annotated tag names comes as a line of its own.
      const commit = found.get(`${name}^{}`) ?? found.get(name) ?? '';
      if (isFullSha(commit)) return { name, commit };
    }
    throw new ActionUnavailable('no_version', `unable to find version \`${ref}\` at ${url}.`);
  }

  /**
   * @param source a ref's full name, or the SHA of a commit: then that commit comes, or nothing
   * @returns the commit that came
   * @throws ActionUnavailable, AgentError
   */
  async fetch(source: string): Promise<string> {
    const { url } = this.#options;
    const quietly = ['fetch', '--quiet', '--depth=1', '--no-tags', '--no-recurse-submodules'];
    await this.#ask(
      [...quietly, '--no-write-fetch-head', '--', url, `+${source}:${FETCHED}`],
      ACTION_FETCH_MS,
    );
    const parse = ['rev-parse', '--verify', '--quiet', '--end-of-options', `${FETCHED}^{commit}`];
    const { standardOutput } = await this.#run(parse, ACTION_RESOLVE_MS);
    const commit = standardOutput.trim();
    if (isFullSha(commit) && (!isFullSha(source) || source === commit)) return commit;
    throw new ActionUnavailable('no_version', `${url} has no commit ${source}.`);
  }

  /** One file of a fetched commit; undefined: it has none. */
  async read(commit: string, path: string): Promise<FileText | undefined> {
    return await readText(
      async (args) => await this.#run(args, ACTION_RESOLVE_MS),
      `${commit}:${path}`,
    );
  }

  /** Writes the files of a fetched commit as a tar archive. @throws ActionUnavailable, AgentError */
  async archive(commit: string, target: string): Promise<void> {
    const args = ['archive', '--format=tar', `--output=${ARCHIVE}`, commit];
    const result = await this.#run(args, ACTION_ARCHIVE_MS, this.#bytes);
    const failure = (): Error => this.#failure(result, ACTION_ARCHIVE_MS);
    // It is git's file, and may be anything: no link is followed, and nothing is waited for.
    const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
    const path = join(this.#directory, ARCHIVE);
    const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
    if (file === undefined) throw failure();
    await using _file = file;
    const found = await file.stat();
    if (found.size >= this.#bytes) throw this.#tooLarge();
    const isWhole = result.exitCode === 0 && found.isFile() && found.nlink === 1;
    if (!isWhole || !(await hasTarEnd(file, found.size))) throw failure();
    // A copy, which nobody but us ever had open.
    const copy = createWriteStream(target, { flags: 'wx', mode: 0o600 });
    await pipeline(
      file.createReadStream({ start: 0, end: found.size - 1, autoClose: false }),
      copy,
    );
  }

  async #run(
    args: readonly string[],
    timeoutMs: number,
    // More than may come: the proxy says better why it is broken off.
    fileBytes = 2 * this.#bytes,
  ): Promise<ToolResult> {
    const { confinement, signal } = this.#options;
    // By a relative path: the directories above may be closed to who git is.
    return await runBounded(this.#git, ['--git-dir=.', ...args], {
      confinement,
      timeoutMs,
      memoryBytes: ACTION_GIT_MEMORY_BYTES,
      fileBytes,
      directory: this.#directory,
      environment: this.#environment(),
      signal,
    });
  }

  async #ask(args: readonly string[], timeoutMs: number): Promise<string> {
    const result = await this.#run(args, timeoutMs);
    if (result.exitCode === 0) return result.standardOutput;
    throw this.#failure(result, timeoutMs);
  }

  #environment(): Record<string, string> {
    const { url } = this.#options;
    const config: Record<string, string> = {
      'core.bare': 'true',
      'core.hooksPath': '/dev/null',
      'core.bigFileThreshold': '64m',
      'credential.helper': '',
      'protocol.allow': 'never',
      'protocol.https.allow': 'always',
      'protocol.http.allow': url.startsWith('http:') ? 'always' : 'never',
      'protocol.version': '2',
      'http.proxy': this.#proxy.url,
      'http.proxyAuthMethod': 'basic',
      // A server that sends less for so long stands still.
      'http.lowSpeedLimit': '1000',
      'http.lowSpeedTime': '20',
      'fetch.fsckObjects': 'true',
      // One pack, whose size is bounded, instead of many files.
      'fetch.unpackLimit': '1',
      'pack.threads': '1',
      'submodule.recurse': 'false',
      'gc.auto': '0',
      'maintenance.auto': 'false',
    };
    const entries = Object.entries(config).flatMap(([key, value], index) => [
      [`GIT_CONFIG_KEY_${index}`, key],
      [`GIT_CONFIG_VALUE_${index}`, value],
    ]);
    return {
      ...(Object.fromEntries(entries) as Record<string, string>),
      GIT_CONFIG_COUNT: String(entries.length / 2),
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_NO_REPLACE_OBJECTS: '1',
      // Else curl looks for the user's .netrc.
      HOME: '/nonexistent',
      LC_ALL: 'C',
    };
  }

  #tooLarge(): ActionUnavailable {
    const what = `it has more than ${Math.ceil(this.#bytes / MiB)} MiB, which is the limit`;
    return new ActionUnavailable('too_large', `${this.#options.url}: ${what}.`);
  }

  #failure({ exitCode, standardError, timedOut }: ToolResult, timeoutMs: number): Error {
    const { directory, url } = this.#options;
    const { isOverLimit, notConnected } = this.#proxy;
    if (exitCode === 127) {
      const message = `git could not be started for an action: ${complaintOf(standardError)}`;
      return new AgentError('tool_missing', message);
    }
    if (NO_SPACE.test(standardError)) return diskFull(directory);
    if (isOverLimit) return this.#tooLarge();
    if (notConnected !== undefined) {
      const [kind, what] =
        notConnected.verdict === 'refused'
          ? (['refused', 'may not be reached from here'] as const)
          : (['unreachable', 'could not be reached'] as const);
      return new ActionUnavailable(kind, `${url} ${what}: ${notConnected.reason}`);
    }
    if (timedOut) {
      const what = `${url} did not answer in ${timeoutMs / 1000} s`;
      return new ActionUnavailable('too_slow', `${what}.`);
    }
    const lines = standardError.split('\n');
    if (lines.some((line) => NOT_PUBLIC.test(line))) {
      const what = `${url} wants a login, or is not there and its server does not say so`;
      const how =
        'Actions are fetched without one, and such an answer is no reason to ask another server: put the action into a mirror, or name the server of its owner in ONEJOB_ACTIONS_URL';
      return new ActionUnavailable('not_public', `${what}. ${how}.`);
    }
    if (lines.some((line) => NO_REPOSITORY.test(line))) {
      return new ActionUnavailable('no_repository', `repository not found at ${url}.`);
    }
    const complaint = complaintOf(standardError);
    const kind = NO_SUCH_COMMIT.test(standardError) ? 'no_version' : 'unreachable';
    return new ActionUnavailable(kind, `${url} could not be read: ${complaint}`);
  }
}

/** What `git init --bare` makes, without its hooks, and without a process. */
async function makeRepository(directory: string, user: number | undefined): Promise<void> {
  const paths = [directory, join(directory, 'objects'), join(directory, 'refs')];
  for (const path of paths) await mkdir(path, { mode: 0o700 });
  const head = join(directory, 'HEAD');
  await writeFile(head, 'ref: refs/heads/none\n');
  if (user === undefined) return;
  for (const path of [...paths, head]) await chown(path, user, user);
}

/** What git said first; a server may have a say in it, and it may be nothing. */
function complaintOf(text: string): string {
  const lines = text.trim().split('\n');
  const own = lines.find((line) => /^(?:error|fatal): /.test(line)) ?? lines.at(-1) ?? '';
  return printable(own === '' ? 'git ended without a word' : own, ACTION_COMPLAINT_CHARACTERS);
}

const isFull = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');
