/** The host's files and sockets that attacks look for, each with a value of its own. */
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { ABSTRACT_SOCKET, HOST_CREDENTIALS, HOST_PLACE, HOST_SOCKETS } from '../attacks/world.ts';
import { RESOLVER_ADDRESS } from '../attacks/network.ts';
import { runScript } from './tools.ts';
import { valueOf, type Values } from './values.ts';

/** Writes them; they go with the root directory of the proof. */
export async function writeHostFiles(values: Values): Promise<void> {
  const put = async (path: string, content: string): Promise<void> => {
    await mkdir(dirname(path), { recursive: true });
    // A link may lead to a place of the system's own.
    await rm(path, { force: true });
    await writeFile(path, `${content}\n`, { mode: 0o600 });
  };
  const value = (name: string): string => valueOf(values, name);
  await put(join(HOST_PLACE, 'file'), value('file'));
  await put(join(HOST_PLACE, 'appended'), 'the host');
  await put('/dev/shm/onejob-prove', value('shm'));
  await put('/etc/machine-id', value('machine'));
  for (const [name, { path }] of Object.entries(HOST_CREDENTIALS)) {
    if (path !== '/etc/shadow') await put(path, value(`credential-${name}`));
  }
  await put('/etc/resolv.conf', `nameserver ${RESOLVER_ADDRESS}\noptions timeout:2 attempts:2`);
  await put('/etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns');
  const mount = join(HOST_PLACE, value('mount'));
  await runScript(
    `echo "${value('credential-shadow')}:*:1::::::" >> /etc/shadow
     echo "${value('user')}:x:60000:60000::/:/bin/false" >> /etc/passwd
     printf '127.0.0.1 localhost %s\n::1 localhost\n' "${value('hosts')}" > /etc/hosts
     echo "${value('hostname')}" > /proc/sys/kernel/hostname
     mknod -m 600 "/dev/${value('device')}" c 1 3
     mkdir "${mount}" && mount -t tmpfs tmpfs "${mount}"`,
  );
}

/** Answer everybody with their value; they keep no process alive. */
export async function listenOnHostSockets(values: Values): Promise<void> {
  const places = Object.entries(HOST_SOCKETS).map(([name, { path }]): [string, string] => [
    `socket-${name}`,
    path,
  ]);
  const all: [string, string][] = [
    ...places,
    ['socket-abstract', `\0${ABSTRACT_SOCKET.slice(1)}`],
    ['unix', join(HOST_PLACE, valueOf(values, 'unix'))],
  ];
  for (const [name, path] of all) {
    if (!path.startsWith('\0')) {
      await mkdir(dirname(path), { recursive: true });
      await rm(path, { force: true });
    }
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.resume();
      socket.end(`${valueOf(values, name)}\n`);
    });
    server.listen(path);
    await once(server, 'listening');
    server.unref();
  }
}
