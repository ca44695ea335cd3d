/**
 * Makes this machine itself: passes the host's entropy, clock and names to init, which has the
 * rights, on the Unix socket at descriptor 3. One command a line, one answer a line (`ok`, or
 * `error` and text). Done before any process of the job exists: a process that was alive in a
 * snapshot shares its random state with every other restore.
 */
import { Socket } from 'node:net';
import type { HostHello } from '@onejob/protocol';
import { GuestError } from '../errors.ts';
import { INIT_ANSWER_MS } from '../limits.ts';

export const INIT_DESCRIPTOR = 3;

/** @throws GuestError `identity_failed`: the machine must not run a job. */
export async function takeIdentity(hello: HostHello, init: Socket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const commands = [
    `entropy ${hello.entropy}`,
    `clock ${hello.clockUnixMs}`,
    `hostname ${hello.hostname}`,
    `machine-id ${hello.machineId}`,
  ];
  const fail = (why: string): void =>
    reject(new GuestError('identity_failed', `init did not set up this machine: ${why}`));
  const timer = setTimeout(() => fail(`no answer in ${INIT_ANSWER_MS} ms`), INIT_ANSWER_MS);
  let answered = 0;
  let text = '';
  init.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      const command = (commands[answered] ?? '').split(' ')[0];
      if (line !== 'ok') return fail(`'${command}' was answered '${line.slice(0, 200)}'`);
      if (++answered === commands.length) resolve();
    }
  });
  init.once('error', (error) => fail(error.message)).once('end', () => fail('its socket closed'));
  init.write(commands.map((command) => `${command}\n`).join(''));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    init.removeAllListeners('data').removeAllListeners('end').pause();
  }
}
