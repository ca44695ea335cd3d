/**
 * What git may show to which server: the job's own token to the server of the run's repository, the
 * step's `token` to that of other repositories, its `ssh-key` to whatever is fetched by ssh. The job's
 * own token is shown to nobody else.
 *
 * While the step runs it is in the environment of its git only. With `persist-credentials` it is in
 * the configuration of the repository (and of its submodules) until the post step, for later steps.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JobState } from '../job/job-state.ts';
import type { Git, Setting } from './git.ts';
import type { CheckoutInputs } from './inputs.ts';
import type { Place } from './place.ts';
import type { SshAccess } from './ssh-access.ts';

const SSH_COMMAND = 'core.sshCommand';

const HEADER_NAME = 'extraheader';
const headerKey = (server: string): string => `http.${server}/.${HEADER_NAME}`;
const basicOf = (token: string): string =>
  Buffer.from(`x-access-token:${token}`).toString('base64');

/** The step's token, if it is one for a server of other repositories. */
function otherToken({ token }: CheckoutInputs, job: JobState): string {
  return token === job.parts.task.token ? '' : token;
}

/** Before anything of the step is shown. @throws GuestError, MaskingError: it cannot be hidden */
export function maskCredentials(inputs: CheckoutInputs, job: JobState): void {
  const token = otherToken(inputs, job);
  if (token !== '') for (const secret of [token, basicOf(token)]) job.addMask(secret);
  if (inputs.sshKey !== '') job.addMask(inputs.sshKey);
}

export class Credentials {
  /** By server, without a slash at its end. */
  private readonly tokens = new Map<string, string>();
  private readonly ssh: SshAccess | undefined;
  private readonly place: Place;
  /** What this step wrote: keys, by file of configuration. */
  private readonly written = new Map<string, Set<string>>();

  constructor(
    given: { inputs: CheckoutInputs; place: Place; ssh: SshAccess | undefined },
    job: JobState,
  ) {
    const { inputs, place, ssh } = given;
    this.place = place;
    this.ssh = ssh;
    if (place.isOwn) this.tokens.set(job.serverUrl, job.parts.task.token);
    const token = otherToken(inputs, job);
    if (token !== '' && place.server !== '') this.tokens.set(place.server, token);
  }

  /** For git while the step runs. */
  get settings(): Setting[] {
    return [
      ...[...this.tokens].flatMap(([server, token]): Setting[] => [
        // An empty one takes back those before it: what an earlier checkout left in a submodule.
        [headerKey(server), ''],
        [headerKey(server), `AUTHORIZATION: basic ${basicOf(token)}`],
      ]),
      ...this.rewriting,
    ];
  }

  get variables(): Record<string, string> {
    return this.ssh === undefined ? {} : { GIT_SSH_COMMAND: this.ssh.command };
  }

  /** As the action does: without a key for ssh, its addresses are read as https. */
  private get rewriting(): Setting[] {
    const { server } = this.place;
    if (this.ssh !== undefined || server === '') return [];
    return [[`url.${server}/.insteadOf`, `git@${new URL(server).hostname}:`]];
  }

  /** Takes away what an earlier checkout of this place has left. */
  async forget(git: Git): Promise<void> {
    const { server } = this.place;
    const keys = [...this.tokens.keys(), server]
      .filter((one) => one !== '')
      .map((one) => headerKey(one));
    await unset(git, join(git.directory, '.git', 'config'), [...keys, SSH_COMMAND]);
  }

  /** @param submodules directories of git with their configuration */
  async persist(git: Git, submodules: readonly string[]): Promise<void> {
    await this.write(
      git,
      join(git.directory, '.git', 'config'),
      [...this.tokens.keys()],
      this.sshSettings,
    );
    // They are on the server of the others.
    const servers = [...this.tokens.keys()].filter((server) => server === this.place.server);
    const open = [...this.rewriting, ...this.sshSettings];
    for (const directory of submodules) {
      await this.write(git, join(directory, 'config'), servers, open);
    }
  }

  /** Takes back all that `persist` wrote, and the files of ssh. */
  async remove(git: Git): Promise<void> {
    for (const [file, keys] of this.written) await unset(git, file, keys);
    this.written.clear();
    this.dispose();
  }

  /** Only what is not in a repository. */
  dispose(): void {
    this.ssh?.remove();
  }

  private get sshSettings(): Setting[] {
    return this.ssh === undefined ? [] : [[SSH_COMMAND, this.ssh.command]];
  }

  /** @param open what need not be hidden */
  private async write(
    git: Git,
    file: string,
    servers: readonly string[],
    open: readonly Setting[],
  ): Promise<void> {
    const headers = servers.map((server) => headerKey(server));
    const keys = new Set([...headers, ...open.map(([key]) => key)]);
    this.written.set(file, keys);
    // An earlier checkout may have left its own, in a submodule that is still there.
    if (readFileSync(file, 'utf8').includes(HEADER_NAME)) await unset(git, file, keys);
    // By hand, as an argument of `git config` would be for all to see.
    for (const server of servers) {
      const token = this.tokens.get(server) ?? '';
      appendFileSync(
        file,
        `[http "${server}/"]\n\t${HEADER_NAME} = AUTHORIZATION: basic ${basicOf(token)}\n`,
      );
    }
    for (const [key, value] of open) await git.ask('config', '--file', file, '--add', key, value);
  }
}

async function unset(git: Git, file: string, keys: Iterable<string>): Promise<void> {
  if (!existsSync(file)) return;
  // It fails where there is nothing.
  for (const key of keys) await git.try('config', '--file', file, '--unset-all', key);
}
