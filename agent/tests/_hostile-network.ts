/**
 * A network of hostile targets, run as a program in network and mount namespaces of its own
 * (`unshare --net --mount`), which end with it:
 *
 *     this namespace, "the host"                 a second one, "everything else"
 *     listeners on all its addresses    near0 == far0   every other address is local to it,
 *     resolver at 127.0.0.53                            listeners on all of them
 *
 * It probes each target twice: through the guard, then through a plain CONNECT proxy that resolves
 * with the C library and connects to all that is answered. Writes its findings as one line of JSON.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import type { ServerHttp2Stream } from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { startDnsServer, type DnsAnswer } from '../src/guard/_dns-server.ts';
import { openConnectLink, openGuardedLink } from '../src/guard/_guarded-link.ts';
import { readHostileTargets } from './_hostile-targets.ts';

/** What the guard must not reach is worth something only beside what it does reach. */
export const PUBLIC_TARGETS = [
  '93.184.215.14:80',
  '[2606:4700::1111]:443',
  '100.64.3.4:80',
  'public.example.org:443',
];

export type Findings = {
  guarded: { target: string; status: number; rule: string; reason: string }[];
  /** Connections that arrived anywhere while hostile targets were probed through the guard. */
  arrived: number;
  /** What was reached without the guard, by target. */
  plain: Record<string, string[]>;
  /** What was reached through the guard at public targets. */
  open: Record<string, string>;
};

/** Told FAR, the process id of the far side, and CONFIGURATION, where three files of /etc are. */
export const SETUP = `
  ip link set lo up
  ip addr add 93.184.215.99/32 dev lo
  ip addr add 2606:4700:9::9/128 dev lo nodad
  ip link add near0 type veth peer name far0 netns $FAR
  ip addr add 203.0.113.1/30 dev near0
  ip addr add 2001:db8:ffff::1/64 dev near0 nodad
  ip link set near0 up
  nsenter --target $FAR --net sh -e -c '
    ip link set lo up
    ip addr add 203.0.113.2/30 dev far0
    ip addr add 2001:db8:ffff::2/64 dev far0 nodad
    ip addr add fe80::2/64 dev far0 nodad
    ip link set far0 up
    ip route add local 0.0.0.0/0 dev lo
    ip -6 route add local ::/0 dev lo
    ip route add 203.0.113.0/30 dev far0 table 100
    ip -6 route add 2001:db8:ffff::/64 dev far0 table 100
    ip rule add to 203.0.113.1 lookup 100 priority 1
    ip -6 rule add to 2001:db8:ffff::1 lookup 100 priority 1
    ip rule del priority 0; ip rule add lookup local priority 2
    ip -6 rule del priority 0; ip -6 rule add lookup local priority 2
  '
  ip route add default via 203.0.113.2 dev near0
  ip -6 route add default via 2001:db8:ffff::2 dev near0
  mount --bind "$CONFIGURATION/resolv.conf" /etc/resolv.conf
  mount --bind "$CONFIGURATION/hosts" /etc/hosts
  mount --bind "$CONFIGURATION/nsswitch.conf" /etc/nsswitch.conf
`;

/** Lines of a child, one at a time. */
export function readLines(child: ChildProcess): () => Promise<string> {
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return async () => String((await lines.next()).value);
}

async function probe(): Promise<Findings> {
  using configuration = mkdtempDisposableSync(join(tmpdir(), 'hostile-network-'));
  const write = (name: string, content: string): void =>
    writeFileSync(join(configuration.path, name), content);
  write('resolv.conf', 'nameserver 127.0.0.53\noptions timeout:2 attempts:2\n');
  write('hosts', '127.0.0.1 localhost\n::1 localhost\n');
  write('nsswitch.conf', 'hosts: files dns\n');

  const far = spawn(
    'unshare',
    ['--net', process.execPath, join(import.meta.dirname, '_marker-listener.ts')],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const nextLine = readLines(far);
  if ((await nextLine()) !== 'ready') throw new Error('the far side did not start');
  const environment = { ...process.env, FAR: String(far.pid), CONFIGURATION: configuration.path };
  execFileSync('sh', ['-e', '-c', SETUP], { env: environment, stdio: ['ignore', 2, 2] });
  const { listenEverywhere } = await import('./_marker-listener.ts');
  const near = await listenEverywhere('resolver');
  const arrivals = async (): Promise<number> => {
    far.stdin.write('count\n');
    return Number(await nextLine()) + near.accepted();
  };
  const targets = readHostileTargets();
  const names = new Map(targets.map(({ host, answer }) => [host, answer]));
  names.set('public.example.org', { addresses: ['93.184.215.14'] });
  const answer = (name: string): DnsAnswer => names.get(name) ?? 'no-such-name';
  await using _dns = await startDnsServer(answer, { address: '127.0.0.53', port: 53 });

  const findings = await probeAll(
    targets.map(({ target }) => target),
    arrivals,
  );
  far.stdin.end();
  await once(far, 'exit');
  return findings;
}

async function probeAll(
  targets: readonly string[],
  arrivals: () => Promise<number>,
): Promise<Findings> {
  const findings: Findings = { guarded: [], arrived: 0, plain: {}, open: {} };
  {
    await using link = await openGuardedLink({
      hazardousReachableLoopback: undefined,
      limits: { newConnectionsPerSecond: 1_000_000, newConnectionsPerMinute: 1_000_000 },
      refusedRanges: ['23.5.0.0/16', '2a01:5::/32'],
    } as never);
    for (const target of targets) {
      const { status, reason = '', stream } = await link.connect(target);
      stream.destroy();
      const { rule } = await link.nextRecord();
      findings.guarded.push({ target, status, rule, reason });
    }
    findings.arrived = await arrivals();
    for (const target of PUBLIC_TARGETS) {
      const { stream } = await link.connect(target);
      stream.end();
      findings.open[target] = await text(stream);
    }
  }
  await using link = await openConnectLink(connectPlainly);
  for (const target of targets) {
    const { stream } = await link.connect(target);
    stream.end();
    const reached = await text(stream);
    findings.plain[target] = reached.split('\n').filter(Boolean);
  }
  return findings;
}

/** What a proxy does that thinks no ill: whatever the C library answers is connected to. */
async function connectPlainly(stream: ServerHttp2Stream, authority: string): Promise<void> {
  stream.on('error', () => {});
  const at = authority.lastIndexOf(':');
  const host = authority.slice(0, at).replace(/^\[|\]$/g, '');
  const answers = await lookup(host, { all: true }).catch(() => []);
  stream.respond({ ':status': 200 });
  for (const { address } of answers) {
    const socket = connect({ host: address, port: Number(authority.slice(at + 1)) });
    stream.write(await text(socket).catch((error: Error) => `${error.message}\n`));
  }
  stream.end();
}

if (import.meta.main) {
  process.stdout.write(`${JSON.stringify(await probe())}\n`);
}
