/**
 * Stands where the guest runner stands, looks at the machine from there, and prints what it saw as
 * JSON; init hands its output to the host. `onejob.probe=` on the kernel's command line says what to do.
 */
import { execSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { text } from 'node:stream/consumers';

/** What the start program tells its bundle. */
const { compileCache } = module as unknown as { compileCache: string };

/** Flags and variables of a Node that is started here, in double quotes only. */
const CHILD =
  'JSON.stringify([process.execArgv.filter((word) => word.startsWith("--")), process.env])';

const COMMANDS: readonly string[] = [
  `entropy ${'ab'.repeat(256)}`,
  `entropy ${'ab'.repeat(257)}`,
  'entropy',
  'entropy abc',
  'clock 1800000000123',
  'clock 12',
  'clock -1800000000123',
  'hostname sandbox-7',
  'hostname a/b',
  'machine-id 0123456789abcdef0123456789abcdef',
  'machine-id 0123',
  'reboot now',
  `clock ${'1'.repeat(3000)}`,
  'clock 1800000000456',
];

function shell(script: string): string {
  try {
    return execSync(`exec 2>&1; ${script}`, { encoding: 'utf8', shell: '/bin/bash' }).trim();
  } catch (error) {
    return `failed: ${String((error as { stdout?: string }).stdout)}`;
  }
}

async function askInit(): Promise<string[]> {
  const socket = new Socket({ fd: 3, readable: true, writable: true });
  socket.setEncoding('utf8');
  const answers: string[] = [];
  for (const command of COMMANDS) {
    const answer = new Promise<string>((resolve) => socket.once('data', resolve));
    socket.write(`${command}\n`);
    answers.push((await answer).trim());
  }
  socket.destroy();
  return answers;
}

/** What each connection reaches: the socket that init steers to says where it was to go. */
async function seeSteered(): Promise<unknown> {
  const steered = createServer((client) => {
    client.end(`${client.localAddress}:${client.localPort}`);
  }).listen({ fd: 4 });
  const own = createServer((client) => client.end('own')).listen(8443, '0.0.0.0');
  const seen: Record<string, unknown> = {};
  for (const [address, port] of [
    ['198.19.7.7', 443],
    ['198.19.7.7', 8443],
    ['192.0.2.1', 22],
    ['127.0.0.1', 8443],
  ] as const) {
    seen[`${address}:${port}`] = await text(connect(port, address));
  }
  const kinds = [5, 6].map((fd) => readlinkSync(`/proc/self/fd/${fd}`));
  const isSocket = kinds.every((kind) => kind.startsWith('socket:'));
  const udp = createSocket('udp4');
  const tcp = createServer();
  const listening = Promise.all([once(udp, 'listening'), once(tcp, 'listening')]);
  udp.bind({ fd: 5 });
  tcp.listen({ fd: 6 });
  await listening;
  seen['resolver'] = isSocket ? ['udp', 'tcp'] : kinds;
  for (const server of [steered, own, tcp]) server.close();
  udp.close();
  return seen;
}

async function inspect(): Promise<unknown> {
  const mounts = readFileSync('/proc/mounts', 'utf8').trim().split('\n');
  return {
    commands: await askInit(),
    year: new Date().getUTCFullYear(),
    hostname: shell('hostname; cat /etc/hostname'),
    hosts: readFileSync('/etc/hosts', 'utf8'),
    machineId: readFileSync('/etc/machine-id', 'utf8').trim(),
    resolver: readFileSync('/etc/resolv.conf', 'utf8'),
    environment: process.env,
    oomScoreAdjust: readFileSync('/proc/self/oom_score_adj', 'utf8').trim(),
    mounts: Object.fromEntries(
      mounts
        .map((line) => line.split(' ').slice(1, 4))
        .map(([path, type, flags]) => [path, `${type} ${flags}`]),
    ),
    modes: Object.fromEntries(
      ['/tmp', '/var/tmp', '/root', '/home', '/work'].map((path) => [
        path,
        (statSync(path).mode & 0o7777).toString(8),
      ]),
    ),
    ports: Object.fromEntries(
      ['onejob.control', 'onejob.bulk', 'onejob.init'].map((name) => [
        name,
        readlinkSync(`/dev/virtio-ports/${name}`),
      ]),
    ),
    addresses: shell(
      'ip -brief address; ip -brief link | wc -l; ip route get 198.19.7.7; ip route get 198.19.7.7 ipproto 6 dport 443',
    ),
    steered: await seeSteered(),
    programs: shell(
      'for p in git git-lfs ssh curl jq unzip xz zstd sudo python ps; do command -v $p; done',
    ),
    modules: shell('modprobe -a bridge nft_compat; ls /sys/module | grep -xE "bridge|nft_compat"'),
    controllers: shell('cat /sys/fs/cgroup/cgroup.subtree_control'),
    python: shell('python -c "import json, ssl; print(json.dumps(1))"'),
    compileCache,
    child: shell(`exec node -p '${CHILD}'`),
    childDescriptors: shell('ls -l /proc/$$/fd | grep -c onejob || true'),
    pipes: shell('stat -c "%F %a" /dev/onejob-pipes/* | sort | uniq -c'),
    substitution: shell('cat <(echo through /dev/fd)'),
    fillDisk: shell('dd if=/dev/zero of=/tmp/big bs=1M count=2000; rm -f /tmp/big'),
    orphan: shell('(sleep 0.2 &) ; sleep 0.6; ps -o stat= --ppid 1'),
  };
}

async function main(): Promise<void> {
  const mode = /onejob\.probe=(\w+)/.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1];
  if (mode === 'memory') {
    shell(
      'echo 0 >/proc/self/oom_score_adj; python -c "x = [bytearray(b\'x\' * 10**7) for _ in range(99)]"',
    );
    process.kill(process.pid, 'SIGKILL');
  }
  if (mode === 'cache') {
    process.stdout.write(compileCache);
    return;
  }
  if (mode === 'output') {
    process.stdout.write(`${'"\\\n'.repeat(20_000)}the end`);
    process.exitCode = 3;
    return;
  }
  process.stdout.write(JSON.stringify(await inspect()));
  process.exitCode = 7;
}

void main();
