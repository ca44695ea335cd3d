/**
 * A process that outlives the agent for a moment, to remove what does not die with it by itself. It
 * waits on a pipe that the agent holds open; the kernel closes that pipe when the agent dies, however
 * it dies, and the program given runs then, once. While it waits it is a shell of one megabyte.
 *
 * It carries the sandbox's markers, so burial and reaper end it like every process of the sandbox.
 * Killed together with the agent it does nothing: the next start of the agent reaps.
 */
import { spawn } from 'node:child_process';
import type { SandboxId } from '@onejob/protocol';
import { HOST_VARIABLE, SANDBOX_VARIABLE } from './processes.ts';

/** Nothing is ever written to the pipe; a read ends when nobody holds its other end any more. */
const WAIT_AND_RUN = 'while read -r _; do :; done; exec "$@"';

export function startGuardian(options: {
  hostMarker: string;
  sandboxId: SandboxId;
  command: string;
  args: readonly string[];
}): void {
  const child = spawn('/bin/sh', ['-c', WAIT_AND_RUN, 'sh', options.command, ...options.args], {
    cwd: '/',
    env: { [SANDBOX_VARIABLE]: options.sandboxId, [HOST_VARIABLE]: options.hostMarker },
    stdio: ['pipe', 'ignore', 'ignore'],
    // A session of its own: a signal for the agent's group or terminal is not for it.
    detached: true,
  });
  // It is found by its marker; one that could not be started is missed by the reaper only.
  child.on('error', () => {});
  child.stdin.on('error', () => {});
}
