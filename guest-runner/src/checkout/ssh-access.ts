/**
 * What git needs to fetch by ssh with the key of a step: files below RUNNER_TEMP that only the job's
 * user may read, and the command that names them. The connection goes the one way there is, through
 * the guard: ssh is given a program that opens a tunnel at the runner's loopback listener.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { GuestError } from '../errors.ts';
import { KNOWN_HOSTS_BYTES, SSH_ALIVE_S, SSH_CONNECT_S } from '../limits.ts';
import { readSmallFile } from '../matchers/small-file.ts';
import { findProgram } from '../steps/shell.ts';
import type { StepRun } from '../steps/step-run.ts';
import type { CheckoutInputs } from './inputs.ts';

/** https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/githubs-ssh-key-fingerprints */
const GITHUB_HOST_KEYS = `
github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
github.com ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=
github.com ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCj7ndNxQowgcQnjshcLrqPEiiphnt+VTTvDP6mHBL9j1aNUkY4Ue1gvwnGLVlOhGeYrnZaMgRK6+PKCUXaDbC7qtbW8gIkhL7aGCsOr/C56SJMy/BCZfxd1nWzAOxSDPgVsmerOBYfNqltV9/hWCqBywINIR+5dIg6JTJ72pcEpEjcYgXkE2YEFXV1JHnsKgbLWNlhScqb2UmyRkQyytRLtL+38TGxkxCflmO+5Z8CSSNY7GidjMIZ7Q4zMjA2n1nGrlTDkzwDCsw+wqFPGQA179cnfGWOWRVruj16z6XyvxvjJwbz0wQZ75XK5tKSb7FNyeIEs4TT4jk+S4dhPeAUC5y+bDYirYgM4GC7uEnztnZyaVWQ7B381AK4Qdrwt51ZqExKbQpTUNn+EjqoTwvqNj4kqx5QUCI0ThS/YkOxJCXmPUWZbhjpCg56i+2aB6CmK2JGhn57K5mj0MNdBXA4/WnwH6XoPWJzK5Nyu2zB3nAZp+S5hpQs+p1vN1/wsjk=
`;

/** Of the job's Node, as every machine has it; without single quotes, for the shell around it. */
const TUNNEL = `
const [port, host, target] = process.argv.slice(1);
const name = host.includes(":") ? "[" + host + "]" : host;
const fail = (why) => { process.stderr.write(why.trim() + "\\n"); process.exit(1); };
require("node:http")
  .request({ host: "127.0.0.1", port, method: "CONNECT", path: name + ":" + target, agent: false })
  .on("error", (error) => fail(error.message))
  .on("connect", (answer, socket, head) => {
    if (answer.statusCode !== 200) {
      let why = head.toString();
      socket.on("data", (chunk) => (why += chunk)).on("close", () => fail(why));
      return;
    }
    process.stdout.write(head);
    socket.on("error", (error) => fail(error.message)).on("close", () => process.exit());
    socket.pipe(process.stdout);
    process.stdin.pipe(socket);
  })
  .end();
`;

export type SshAccess = {
  /** For `GIT_SSH_COMMAND` and `core.sshCommand`: a shell reads it. */
  command: string;
  remove(): void;
};

/** The key hosts that the job's user trusts already. */
function userKnownHosts(home: string | undefined): string {
  if (!home) return '';
  try {
    return readSmallFile(join(home, '.ssh', 'known_hosts'), KNOWN_HOSTS_BYTES);
  } catch {
    return '';
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function tunnelScript(port: number): string {
  // What the job sets for its own Node is not for ours.
  return `#!/bin/sh\nunset NODE_OPTIONS\nexec ${quote(process.execPath)} -e '${TUNNEL}' ${port} "$@"\n`;
}

/**
 * @param environment of the step
 * @throws GuestError `step`: there is no ssh
 */
export function openSshAccess(
  run: StepRun,
  inputs: CheckoutInputs,
  environment: Record<string, string>,
): SshAccess {
  const { layout, port } = run.job.parts;
  const ssh = findProgram('ssh', run.job.searchPath(run.env), layout.workspace);
  if (ssh === undefined) {
    throw new GuestError(
      'step',
      "The input 'ssh-key' needs ssh, which was not found in PATH. Install openssh-client in a " +
        "step before this one, or give a 'token' instead.",
    );
  }
  const key = join(layout.temp, `checkout_${run.fileKey}_key`);
  const hosts = `${key}_hosts`;
  const tunnel = `${key}_tunnel`;
  const files: [path: string, text: string, mode: number][] = [
    [key, `${inputs.sshKey}\n`, 0o600],
    [
      hosts,
      [userKnownHosts(environment['HOME']), inputs.sshKnownHosts, GITHUB_HOST_KEYS].join('\n'),
      0o600,
    ],
    [tunnel, tunnelScript(port), 0o700],
  ];
  const remove = (): void => {
    for (const [path] of files) rmSync(path, { force: true });
  };
  remove();
  for (const [path, text, mode] of files) writeFileSync(path, text, { mode, flag: 'wx' });
  const inTemp = (path: string): string => `$RUNNER_TEMP/${basename(path)}`;
  const checking = inputs.sshStrict
    ? '-o StrictHostKeyChecking=yes -o CheckHostIP=no'
    : '-o StrictHostKeyChecking=accept-new';
  const command = [
    `"${ssh}" -i "${inTemp(key)}" -o IdentitiesOnly=yes -o BatchMode=yes`,
    `-o ConnectTimeout=${SSH_CONNECT_S} -o ServerAliveInterval=${SSH_ALIVE_S} ${checking}`,
    `-o "UserKnownHostsFile=${inTemp(hosts)}"`,
    `-o "ProxyCommand='${inTemp(tunnel)}' %h %p"`,
  ].join(' ');
  return { command, remove };
}
