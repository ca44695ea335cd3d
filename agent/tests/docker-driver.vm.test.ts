/** The driver contract on containers of a real engine, and what only docker promises. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rm, symlink } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MACHINE, newSandboxId, type SandboxId } from '@onejob/protocol';
import {
  containerName,
  HOST_LABEL,
  listContainers,
  SANDBOX_LABEL,
} from '../src/drivers/docker/container.ts';
import { imageName } from '../src/drivers/docker/image-import.ts';
import { containerUlimits } from '../src/drivers/docker/ulimits.ts';
import { listSandboxProcesses } from '../src/host/processes.ts';
import { HALF_CLOSED_SECONDS, STEERED_FLOWS } from '../src/network/limits.ts';
import { containerFinder } from '../src/sandbox/finders/containers.ts';
import { reap, type ReapReport } from '../src/sandbox/reaper.ts';
import type { MachineImage } from '../src/sandbox/driver.ts';
import { whyNoEngine } from '@onejob/testing/container-engine';
import { AgentLab } from './_agent-lab.ts';
import { openDockerLab, type DockerLab } from './_docker-lab.ts';
import { runScript, type SandboxLab } from './_sandbox-lab.ts';
import { UNPROXIED, UNPROXIED_AGAIN } from './_unproxied.ts';
import { driverContract } from './driver-contract.ts';

const GONE_PATIENCE_MS = 15_000;
const whyNot = whyNoEngine();

if (whyNot !== undefined) test('driver docker', { skip: whyNot }, () => {});
else await testDriver();

async function testDriver(): Promise<void> {
  const docker = await openDockerLab();
  const { createDriver, image, guestRunnerPath } = docker;
  driverContract({
    ...{ name: 'docker', createDriver, image, guestRunnerPath },
    ...{ ownKernel: false, auto: true, killRunner: 'from inside' },
  });
  describe('docker alone', () => {
    describeConfinement(docker);
    describeSteering(docker);
    describeCard(docker);
    describeAgent(docker);
    describeEnds(docker);
    describeLeftovers(docker);
  });
}

/** A table of packet rules (linux/netfilter/nf_tables.h: NFT_MSG_NEWTABLE of subsystem 10), and its answer. */
const WRITE_RULES = `
import os, socket, struct
asked = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
asked.send(struct.pack("=IHHIIBBH", 20, 10 << 8, 0x405, 1, 0, 2, 0, 0))
print("rules:", os.strerror(-struct.unpack("=16xi", asked.recv(64)[:20])[0]))
`;

function describeConfinement(docker: DockerLab): void {
  test('a job has no network, few capabilities, no way to more, and a closed link directory', async () => {
    const script = [
      'echo "interfaces=$(ls /sys/class/net | xargs)"',
      'grep -E "^(CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status',
      'echo "resolvers=$(grep nameserver /etc/resolv.conf | xargs)"',
      'touch /run/onejob/mine 2>/dev/null && echo wrote-link',
      'echo "left in link: $(ls -A /run/onejob | xargs)"',
      'mount -t tmpfs none /mnt 2>/dev/null && echo mounted',
      'unshare --user true 2>/dev/null && echo unshared',
      `python3 -c '${WRITE_RULES}'`,
      'ip rule add priority 5 lookup main 2>&1 || true',
      'test -w /proc/sys/kernel/panic && echo wrote-proc',
      'test -w /proc/sysrq-trigger && echo wrote-sysrq',
      'dd if=/dev/kmsg of=/dev/null count=1 2>/dev/null && echo read-kmsg',
      'ls -A /var/run/docker.sock /run/docker.sock 2>/dev/null && echo engine-socket',
      'echo "core=$(ulimit -c) files=$(ulimit -Sn) $(ulimit -Hn)"',
      'true',
    ].join('\n');
    const log = await docker.run(script);
    assert.match(log, /^interfaces=lo$/m);
    // CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7 (capabilities(7)).
    assert.match(log, /^CapEff:\s+0*fb$/m);
    assert.match(log, /^CapBnd:\s+0*fb$/m);
    assert.match(log, /^NoNewPrivs:\s+1$/m);
    assert.match(log, /^Seccomp:\s+2$/m);
    assert.match(log, /^resolvers=nameserver 198\.18\.0\.53$/m);
    assert.match(log, /^left in link: *$/m);
    assert.match(log, /^rules: Operation not permitted$/m);
    assert.match(log, /^RTNETLINK answers: Operation not permitted$/m);
    const files = containerUlimits().find(({ Name }) => Name === 'nofile');
    assert.match(log, new RegExp(`^core=0 files=${files?.Soft} ${files?.Hard}$`, 'm'));
    assert.doesNotMatch(log, /wrote-|mounted|unshared|read-kmsg|engine-socket/);
  });
}

/**
 * Whatever a job sends by itself, from whatever address and by whatever protocol, the host's kernel keeps no
 * flow of; of connections that are steered, so many as may be new in a second: the next is refused.
 */
const FLOOD = `
import socket
listener = socket.create_server(("127.0.0.1", 8009), backlog=4096)
sent = 0
def attempt(kind, source, to):
    global sent
    with socket.socket(socket.AF_INET, kind) as one:
        one.settimeout(5)
        one.bind((source, 0))
        try:
            one.connect(to)
            one.send(b"x")
            sent += 1
        except ConnectionRefusedError:
            return False
        except OSError:
            pass
    return True
count = lambda: int(open("/proc/sys/net/netfilter/nf_conntrack_count").read())
before = count()
for number in range(1000):
    source = "9.9.%d.%d" % (number // 250, 1 + number % 250)
    for to in [("127.0.0.1", 9), ("198.18.0.53", 53), ("192.0.2.1", 9)]:
        attempt(socket.SOCK_DGRAM, source, to)
    attempt(socket.SOCK_STREAM, source, ("198.18.0.53", 9))
    if number < 100:
        attempt(socket.SOCK_STREAM, source, ("127.0.0.1", 8009))
        with listener.accept()[0] as server:
            server.send(b"y")
print("sent:", sent)
print("tracked of its own:", count() - before)
most, refused = 0, 0
for number in range(5000):
    refused += not attempt(socket.SOCK_STREAM, "0.0.0.0", ("192.0.2.1", 9))
    most = max(most, count())
    if refused > 9: break
print("tracked when steered:", most - before)
print("refused:", refused)
for name in ["loose", "timeout_close_wait"]:
    print(name, open("/proc/sys/net/netfilter/nf_conntrack_tcp_" + name).read())
`;

/** Frames that a program with the right to puts on lo itself, from no address to everybody. */
const FRAMES = `
import socket, struct
count = lambda: int(open("/proc/sys/net/netfilter/nf_conntrack_count").read())
frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
frames.bind(("lo", 0x0800))
before = count()
seen = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
seen.settimeout(5)
seen.bind(("0.0.0.0", 4000))
def frame(source, to, port):
    udp = struct.pack("!HHHH", port, 4000, 9, 0) + b"x"
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 29, 0, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(to))
    total = sum(struct.unpack("!10H", ip))
    while total > 0xffff: total = (total & 0xffff) + (total >> 16)
    return b"\\0" * 12 + b"\\x08\\0" + ip[:10] + struct.pack("!H", 0xffff - total) + ip[12:] + udp
frames.send(frame("0.0.0.0", "255.255.255.255", 999))
print("arrived:", seen.recvfrom(9))
for port in range(1, 2001):
    frames.send(frame("0.0.0.0", "255.255.255.255", port))
    frames.send(frame("127.0.0.1", "127.0.0.1", port))
print("tracked of frames:", count() - before)
`;

function describeSteering({ converse }: DockerLab): void {
  test('what a job sends does not fill the tables of the host', async () => {
    const { log } = await converse(`python3 -c '${FLOOD}'`);
    assert.match(log, /^tracked of its own: 0$/m, log);
    const number = (what: string): number =>
      Number(new RegExp(`^${what}: (\\d+)$`, 'm').exec(log)?.[1] ?? Number.NaN);
    assert.ok(number('sent') >= 1100, log);
    assert.ok(number('tracked when steered') > 0, log);
    assert.ok(number('tracked when steered') <= STEERED_FLOWS, log);
    assert.equal(number('refused'), 10, log);
    assert.match(log, /^loose 0$/m, log);
    assert.match(log, new RegExp(`^timeout_close_wait ${HALF_CLOSED_SECONDS}$`, 'm'));
  });

  test('nor do frames that a job with the right to puts on its own interface', async () => {
    const { log } = await converse(`python3 -c '${FRAMES}'`, { capabilities: ['NET_RAW'] });
    assert.match(log, /^arrived: \(b'x', \('0\.0\.0\.0', 999\)\)$/m, log);
    assert.match(log, /^tracked of frames: 0$/m, log);
  });

  test('a program that knows no proxy asks the guard for what it connects to, and hears at once', async () => {
    const { log, asked } = await converse(`${UNPROXIED}\n${UNPROXIED_AGAIN}`);
    assert.match(log, /^name (?:7|52|56)$/m);
    assert.match(log, /^address (?:7|52|56)$/m);
    assert.match(log, /^unknown 6$/m);
    assert.match(log, /^own 7$/m);
    assert.match(log, /^IPv6 7$/m);
    assert.match(log, /^it took [0-3] s$/m);
    assert.match(log, /^killed$/m);
    assert.deepEqual([...asked].toSorted(), [
      ...['CONNECT 93.184.215.14:80', 'CONNECT forge.example:8443', 'CONNECT later.example:80'],
      ...['GET forge.example', 'GET later.example', 'GET nowhere.test'],
    ]);
  });
}

/** Of a program without a tool for it: the flags of an interface set as they are, which takes the right to. */
const CHANGE_CARD = `
socket(my $socket, 2, 2, 0) or die $!;
my $flags = pack(q(a16 x24), q(eth0));
ioctl($socket, 0x8913, $flags) or die "no card: $!";
print ioctl($socket, 0x8914, $flags) ? "changed\\n" : "not changed: $!\\n";`;

function describeCard({ createDriver, newLab }: DockerLab): void {
  test('in mode nat a container has the card of its sandbox, and no right to change it', async (context) => {
    const namespace = `onejob-test-docker-${process.pid}`;
    if (spawnSync('ip', ['netns', 'add', namespace]).status !== 0) {
      return context.skip('this host makes no network namespaces for us');
    }
    context.after(() => execFileSync('ip', ['netns', 'delete', namespace]));
    const { mac, gateway, prefix, address } = MACHINE.network;
    const ip = (line: string): unknown => execFileSync('ip', ['-n', namespace, ...line.split(' ')]);
    ip(`link add down0 type veth peer name eth0 address ${mac}`);
    ip(`addr add ${gateway}/${prefix} dev down0`);
    ip('link set down0 up');
    await using lab = await newLab();
    const network = { namespacePath: `/run/netns/${namespace}`, device: 'down0', hasIpv6: false };
    const sandbox = await lab.newSandbox({ network });
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    const script = [
      'echo "card $(cat /sys/class/net/eth0/address) $(cat /sys/class/net/eth0/operstate)"',
      'echo "address $(hostname --all-ip-addresses)"',
      'echo "resolvers=$(grep nameserver /etc/resolv.conf | xargs)"',
      `perl -e '${CHANGE_CARD}'`,
    ].join('\n');
    const { log } = await runScript(handle, script);
    assert.match(log, new RegExp(`^card ${mac} up$`, 'm'));
    assert.match(log, new RegExp(`^address ${address} *$`, 'm'));
    assert.match(log, new RegExp(`^resolvers=nameserver ${gateway}$`, 'm'));
    assert.match(log, /^not changed: Operation not permitted$/m);
    await handle.kill();
    await lab.bury(sandbox);
    assert.doesNotMatch(
      execFileSync('ip', ['-n', namespace, 'link'], { encoding: 'utf8' }),
      /down0/,
    );
  });

  test('a network that cannot be given fails the machine, of which nothing is left', async () => {
    await using lab = await newLab();
    const network = { namespacePath: '/run/netns/onejob-none', device: 'down0', hasIpv6: false };
    const sandbox = await lab.newSandbox({ network });
    const provisioning = createDriver(lab).provision(sandbox.request, sandbox.stack);
    await assert.rejects(provisioning, {
      code: 'network_failed',
      message: /could not be made \(the card eth0\): .*onejob-none/,
    });
    await lab.bury(sandbox);
  });
}

function describeAgent({ own, image, guestRunnerPath, cacheDirectory }: DockerLab): void {
  test('an agent gives the image of its jobs to containers, too', async () => {
    await using lab = await AgentLab.open();
    await lab.controlPlane.start();
    await lab.agent({
      ...{ cacheDirectory, guestRunnerPath, drivers: ['docker'] },
      docker: { socketPath: own.socketPath },
      image: async () => await Promise.resolve(image),
    });
    const job = lab.controlPlane.queue([], { driver: 'docker' });
    await lab.ended(job);
    assert.equal(job.adoptions, 1, 'a guest runner said hello');
    await lab.nothingLeft();
  });
}

function describeEnds({ createDriver, newLab, own, cacheDirectory }: DockerLab): void {
  test('a container that somebody else removes is the platform failing', async () => {
    await using lab = await newLab();
    const sandbox = await lab.newSandbox();
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    await remove(own, containerName(sandbox.sandboxId));
    assert.equal((await handle.ended).cause, 'vmm_died', (await handle.ended).detail);
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('an engine that goes is the platform failing, and one that is back removes the container', async () => {
    await using lab = await newLab();
    const sandbox = await lab.newSandbox();
    const socketPath = join(cacheDirectory, 'engine.sock');
    const front = await openFront(`${socketPath}.front`, own.socketPath);
    await symlink(`${socketPath}.front`, socketPath);
    const driver = createDriver(lab, { socketPath });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    await front[Symbol.asyncDispose]();
    assert.equal((await handle.ended).cause, 'vmm_died', (await handle.ended).detail);
    await assert.rejects(handle.kill(), { code: 'driver_unavailable' });
    await rm(socketPath);
    await symlink(own.socketPath, socketPath);
    await handle.kill();
    await lab.bury(sandbox);
    assert.deepEqual(await listContainers(own.engine, lab.hostMarker), []);
  });

  test('a missing image is refused before anything is acquired', async () => {
    await using lab = await newLab();
    const sandbox = await lab.newSandbox({ image: null });
    const provisioning = createDriver(lab).provision(sandbox.request, sandbox.stack);
    await assert.rejects(provisioning, { code: 'image_missing' });
    await lab.bury(sandbox);
  });

  test('an image that no glob allows is refused before anything runs of it', async () => {
    await using lab = await newLab();
    const sandbox = await lab.newSandbox();
    const driver = createDriver(lab, { allowedImages: ['other/*'] });
    await assert.rejects(driver.provision(sandbox.request, sandbox.stack), {
      code: 'invalid_configuration',
      message: /^\[image-allowed\] The image localhost\/onejob\/guest:/,
    });
    await lab.bury(sandbox);
  });

  test('an engine that is not there, or lacks the runtime, is told with what to do', async () => {
    const marker = { hostMarker: 'probe' } as SandboxLab;
    const nowhere = await createDriver(marker, { socketPath: '/nowhere/engine.sock' }).probe();
    assert.equal(nowhere.works, false);
    assert.match(nowhere.note, /engine at \/nowhere\/engine\.sock does not answer: .*ENOENT/);
    const sysbox = await createDriver(marker, { runtime: 'sysbox-runc' }).probe();
    assert.equal(sysbox.works, false);
    assert.match(sysbox.note, /has no runtime sysbox-runc/);
  });
}

/** The engine at another path, where it is gone when this is disposed. */
async function openFront(path: string, enginePath: string): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(enginePath);
    for (const socket of [near, far]) sockets.add(socket.on('error', () => {}));
    near.pipe(far).pipe(near);
  });
  await once(server.listen(path), 'listening');
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

const reapAll = async (own: DockerLab['own'], lab: SandboxLab): Promise<ReapReport> =>
  await reap({
    hostMarker: lab.hostMarker,
    sandboxesDirectory: lab.root,
    journalsDirectory: join(lab.root, 'journal'),
    undo: lab.undo,
    alive: new Set(),
    finders: [containerFinder(own.socketPath)],
  });

function describeLeftovers({ own, image, guestRunnerPath, cacheDirectory, newLab }: DockerLab) {
  const isGone = async (lab: SandboxLab): Promise<void> => {
    const deadline = performance.now() + GONE_PATIENCE_MS;
    while ((await listContainers(own.engine, lab.hostMarker)).length > 0) {
      assert.ok(performance.now() < deadline, 'the container is still there');
      await sleep(50);
    }
  };
  /** Another process that provisions a sandbox, and is killed when it has. */
  const killAgent = async (lab: SandboxLab, before: () => Promise<void> = async () => {}) => {
    const request = { image, guestRunnerPath, cacheDirectory, socketPath: own.socketPath };
    const words = [join(import.meta.dirname, '_provisioning-agent.ts'), lab.hostMarker, lab.root];
    const agent = spawn(process.execPath, [...words, JSON.stringify(request)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(agent, 'exit').then(() => [Buffer.from('it ended')]);
    const [said] = (await Promise.race([once(agent.stdout, 'data'), ended])) as [Buffer];
    assert.match(said.toString(), /^provisioned sb/);
    assert.equal((await listContainers(own.engine, lab.hostMarker)).length, 1);
    await before();
    agent.kill('SIGKILL');
    await once(agent, 'exit');
  };

  test('a container goes with its agent, also when its runner is stopped by the job', async () => {
    await using lab = await newLab();
    await killAgent(lab, async () => {
      for (const { pid, environment } of await listSandboxProcesses(lab.hostMarker)) {
        if (environment.has('ONEJOB_CARRIER')) process.kill(pid, 'SIGSTOP');
      }
    });
    await isGone(lab);
    await reapAll(own, lab);
  });

  test('where the guardian is killed too, the reaper removes it by its labels, and no look-alike', async () => {
    await using lab = await newLab();
    await killAgent(lab, async () => {
      for (const { pid, environment } of await listSandboxProcesses(lab.hostMarker)) {
        process.kill(pid, environment.has('ONEJOB_CARRIER') ? 'SIGSTOP' : 'SIGKILL');
      }
    });
    await sleep(300);
    const [orphan] = await listContainers(own.engine, lab.hostMarker);
    assert.ok(orphan !== undefined, 'nobody was there to remove it');
    await rm(join(lab.root, 'journal'), { recursive: true });
    const foreign = await createLookAlikes(own, image, lab.hostMarker);
    const report = await reapAll(own, lab);
    assert.deepEqual(report.failed, []);
    assert.ok(report.removed.some((what) => what.includes(orphan.sandboxId)));
    assert.deepEqual(await listContainers(own.engine, lab.hostMarker), []);
    for (const name of foreign) {
      await remove(own, name);
    }
  });

  test('a container with the name of ours and not its labels is left alone by its undo', async () => {
    await using lab = await newLab();
    const sandboxId = newSandboxId();
    const name = containerName(sandboxId);
    await create(own, image, name, { [SANDBOX_LABEL]: sandboxId, [HOST_LABEL]: 'another' });
    const acquisition = { kind: 'container', sandboxId, socketPath: own.socketPath } as const;
    await assert.rejects(lab.undo(acquisition), /does not have this agent's labels/);
    await remove(own, name);
    await lab.undo(acquisition);
  });
}

async function createLookAlikes(
  own: DockerLab['own'],
  image: MachineImage,
  hostMarker: string,
): Promise<string[]> {
  const id = (): SandboxId => newSandboxId();
  const [first, second, third] = [id(), id(), id()];
  const lookAlikes: [string, Record<string, string>][] = [
    [containerName(first), {}],
    [containerName(second), { [HOST_LABEL]: `${hostMarker}x`, [SANDBOX_LABEL]: second }],
    [containerName(third), { [SANDBOX_LABEL]: third }],
    ['onejob-lab-no-id', { [HOST_LABEL]: hostMarker, [SANDBOX_LABEL]: 'not-an-id' }],
    ['onejob-lab-half', { [HOST_LABEL]: hostMarker }],
  ];
  for (const [name, labels] of lookAlikes) await create(own, image, name, labels);
  return lookAlikes.map(([name]) => name);
}

async function create(
  { engine }: DockerLab['own'],
  image: MachineImage,
  name: string,
  Labels: Record<string, string>,
): Promise<void> {
  const options = { name, Image: imageName(image.digest), Cmd: ['true'], Labels };
  await engine.ask('create', async (docker) => docker.createContainer(options));
}

/** Fails where it is not there. */
async function remove({ engine }: DockerLab['own'], name: string): Promise<void> {
  await engine.ask('remove', async (docker) => docker.getContainer(name).remove({ force: true }));
}
