/**
 * A host with a public network, run as a program in network and mount namespaces of its own
 * (`unshare --net --mount`), which end with it: the first argument is a program, which runs here with
 * the others. Far away is one public host, which every name leads to: a web server in both IP
 * versions, and the resolver of this host's configuration.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PUBLIC_4 = [93, 184, 215, 14];
const PUBLIC_6 = '2606:4700::1111';
const SETUP = `
  mount -t tmpfs tmpfs /run
  ip link set lo up
  ip link add near0 type veth peer name far0 netns $FAR
  ip address add 192.0.2.9/24 dev near0
  ip address add 2001:db8:9::9/64 dev near0 nodad
  ip link set near0 up
  ip route add default via 192.0.2.1
  nsenter --target $FAR --net sh -e -c '
    ip link set lo up
    ip address add 192.0.2.1/24 dev far0
    ip address add 2001:db8:9::1/64 dev far0 nodad
    ip link set far0 up
    ip address add ${PUBLIC_4.join('.')}/32 dev lo
    ip address add ${PUBLIC_6}/128 dev lo nodad
  '
  ip -6 route add default via 2001:db8:9::1
  echo 1 > /proc/sys/net/ipv4/ip_forward
  echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
  mount --bind "$CONFIGURATION/resolv.conf" /etc/resolv.conf
`;

/** Answers every question for an A or AAAA record with the public host. */
async function startResolver(): Promise<void> {
  const socket = createSocket('udp4');
  socket.on('message', (query, peer) => {
    let end = 12;
    while ((query[end] ?? 0) > 0) end += 1 + query[end]!;
    const question = query.subarray(12, end + 5);
    const isIpv6 = query.readUInt16BE(end + 1) === 28;
    const last = [0x26, 0x06, 0x47, 0, ...Array<number>(10).fill(0), 0x11, 0x11];
    const data = isIpv6 ? last : PUBLIC_4;
    const head = [...query.subarray(0, 2), 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    const record = [0xc0, 12, 0, isIpv6 ? 28 : 1, 0, 1, 0, 0, 0, 60, 0, data.length, ...data];
    const answer = Buffer.from([...head, ...question, ...record]);
    socket.send(answer, peer.port, peer.address);
  });
  socket.bind(53, '192.0.2.1');
  await once(socket, 'listening');
  socket.unref();
}

/** The far side, as a program of its own: ends with its input. */
async function serveFar(): Promise<void> {
  process.stdout.write('here\n');
  await once(process.stdin, 'data'); // its addresses are there
  await startResolver();
  const server = createServer((request, response) => {
    const { localAddress = '', remoteAddress = '' } = request.socket;
    response.end(`${request.headers.host} at ${localAddress} for ${remoteAddress}\n`);
  });
  server.listen(80, '::');
  await once(server, 'listening');
  process.stdout.write('ready\n');
  server.unref();
  process.stdin.resume(); // it ends with its input
}

async function runThere([program = '', ...words]: string[]): Promise<number> {
  using configuration = mkdtempDisposableSync(join(tmpdir(), 'public-place-'));
  writeFileSync(join(configuration.path, 'resolv.conf'), 'nameserver 192.0.2.1\n');
  const far = spawn('unshare', ['--net', process.execPath, import.meta.filename, 'far'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(far.stdout, 'data');
  const env = { ...process.env, FAR: String(far.pid), CONFIGURATION: configuration.path };
  execFileSync('sh', ['-e', '-c', SETUP], { env, stdio: ['ignore', 2, 2] });
  far.stdin.write('go\n');
  await once(far.stdout, 'data');
  const child = spawn(program, words, { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  const left = execFileSync('sh', ['-c', 'ip netns list; nft list tables; ip -o link'], {
    encoding: 'utf8',
  });
  process.stderr.write(`left: ${left.match(/onejob|oj[0-9a-f]{13}/g)?.join() ?? 'nothing'}\n`);
  far.stdin.end();
  await once(far, 'exit');
  return code ?? 1;
}

if (process.argv[2] === 'far') await serveFar();
else process.exitCode = await runThere(process.argv.slice(2));
