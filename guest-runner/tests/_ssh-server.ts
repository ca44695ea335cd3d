/** A server of git by ssh for tests, for the real client: one user, one key, `git-upload-pack` only. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { AuthContext, Connection, ParsedKey } from 'ssh2';

type SshServer = AsyncDisposable & {
  readonly port: number;
  /** As `known_hosts` has it, without a name. */
  readonly hostKey: string;
  /** Of the user, as a file holds it. */
  readonly privateKey: string;
};

function authenticate(context: AuthContext, key: ParsedKey): void {
  if (context.method !== 'publickey') return context.reject(['publickey']);
  const { blob, hashAlgo, signature } = context;
  const isSame = context.username === 'git' && context.key.data.equals(key.getPublicSSH());
  // What is wrong in form is an error, not false, though the types do not say so.
  const verify = (): unknown => blob && signature && key.verify(blob, signature, hashAlgo);
  if (isSame && (signature === undefined || verify() === true)) context.accept();
  else context.reject();
}

function serveGit(client: Connection, root: string): void {
  client.on('session', (accept) => {
    accept().on('exec', (take, refuse, { command }) => {
      const [, path] = /^git-upload-pack '([\w/-]+)\.git'$/.exec(command) ?? [];
      if (path === undefined) return refuse();
      const stream = take();
      const child = spawn('git', ['upload-pack', join(root, path)], {
        env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', GIT_CONFIG_NOSYSTEM: '1' },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      child.stdin.on('error', () => {});
      stream.pipe(child.stdin);
      child.stdout.pipe(stream, { end: false });
      child.once('close', (code) => {
        stream.exit(code ?? 1);
        stream.end();
      });
    });
  });
}

/** @param root of the repositories */
export async function startSshServer(root: string): Promise<SshServer> {
  const host = ssh2.utils.generateKeyPairSync('ed25519');
  const user = ssh2.utils.generateKeyPairSync('ed25519');
  const key = ssh2.utils.parseKey(user.public);
  if (key instanceof Error) throw key;
  const clients = new Set<Connection>();
  const server = new ssh2.Server({ hostKeys: [host.private] }, (client) => {
    clients.add(client);
    client.on('error', () => {});
    client.on('close', () => clients.delete(client));
    client.on('authentication', (context) => authenticate(context, key));
    client.on('ready', () => serveGit(client, root));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    hostKey: host.public,
    privateKey: user.private,
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.end();
      const closed = Promise.withResolvers<void>();
      server.close(() => closed.resolve());
      await closed.promise;
    },
  };
}
