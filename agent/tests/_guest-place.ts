/**
 * A guest's place at a network of a sandbox, without a machine: a namespace with the guest's interface
 * and programs of these tests in it. That interface is one of a pair, moved there as to a container, or
 * frames go between it and the sandbox's tap by a relay that gets the tap as QEMU does.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MACHINE, newJobId, newSandboxId, type SandboxId } from '@onejob/protocol';
import { AUDIT, type JobPolicy } from '../src/guard/job-policy.ts';
import type { SandboxNetwork, SandboxNetworks } from '../src/network/networks.ts';
import { HOST_VARIABLE, SANDBOX_VARIABLE } from '../src/host/processes.ts';
import { moveCard } from '../src/network/card.ts';
import { tapPrefix } from '../src/network/tap.ts';
import type { CardKind, MachineNetwork } from '../src/sandbox/driver.ts';
import { Journal } from '../src/sandbox/journal.ts';
import { ProvisionStack } from '../src/sandbox/stack.ts';
import { undoOn } from '../src/sandbox/undo.ts';
import { readLines } from './_hostile-network.ts';
import type { Probe } from './_network-guest.ts';

export const HOST_MARKER = 'test-network-world';

/** Joins the tap that it gets at descriptor 3 with a new interface of the namespace it is in. */
const RELAY = `
open(my $own, '+<', '/dev/net/tun') or die $!;
my $request = pack('a16 s x22', 'eth0', 0x0002 | 0x1000 | 0x4000);
ioctl($own, 0x400454ca, $request) or die $!;
open(my $tap, '+<&=', 3) or die $!;
print "ready\\n"; close STDOUT;
for (;;) {
  my $ready = '';
  vec($ready, fileno($_), 1) = 1 for $own, $tap;
  select($ready, undef, undef, undef);
  for (([$own, $tap], [$tap, $own])) {
    my ($from, $to) = @$_;
    next unless vec($ready, fileno($from), 1);
    sysread($from, my $frame, 70000);
    syswrite($to, $frame);
  }
}`;

export type Guest = {
  policy: JobPolicy;
  sandboxId: SandboxId;
  network: SandboxNetwork;
  stack: ProvisionStack;
  namespace: string;
  arrivals(): Promise<number>;
  ask(probes: readonly Probe[]): Promise<string[]>;
  end(): Promise<void>;
};

export const run = (...words: [string, ...string[]]): string =>
  execFileSync(words[0], words.slice(1), { encoding: 'utf8', stdio: ['ignore', 'pipe', 2] });

export async function startGuest(
  networks: SandboxNetworks,
  root: string,
  card: CardKind,
): Promise<Guest> {
  const sandboxId = newSandboxId();
  const directory = join(root, sandboxId);
  mkdirSync(directory);
  const stack = new ProvisionStack(
    new Journal(join(root, 'journal'), sandboxId),
    undoOn(HOST_MARKER),
  );
  const { signal } = new AbortController();
  const own = { policy: AUDIT };
  const egress = { sandboxId, jobId: newJobId(Date.now()), policy: () => own.policy };
  const network = await networks.provision({ egress, card, directory, signal }, stack);

  const namespace = `guest-${sandboxId}`;
  const path = `/run/netns/${namespace}`;
  run('ip', 'netns', 'add', namespace);
  run('ip', '-n', namespace, 'link', 'set', 'lo', 'up');
  const sandbox = { hostMarker: HOST_MARKER, sandboxId };
  const environment = { [HOST_VARIABLE]: HOST_MARKER, [SANDBOX_VARIABLE]: sandboxId };
  const relay = card === 'tap' ? await joinTap(network.machine, namespace) : undefined;
  const guest = await startProgram('_network-guest.ts', path, environment);
  if (card === 'pair') await moveCard(network.machine, sandbox, signal);
  // Nothing listens in a sandbox's namespace; here something does, so that reaching it is seen.
  const inside = await startProgram('_marker-listener.ts', network.machine.namespacePath);
  return Object.assign<{ policy: JobPolicy }, Omit<Guest, 'policy'>>(own, {
    ...{ sandboxId, network, stack, namespace },
    arrivals: async () => Number(await inside.ask('count')),
    ask: async (probes) => JSON.parse(await guest.ask(JSON.stringify(probes))) as string[],
    async end() {
      const relayEnds = relay === undefined ? undefined : once(relay, 'exit');
      relay?.kill();
      await Promise.all([guest.end(), inside.end(), relayEnds]);
      run('ip', 'netns', 'delete', namespace);
    },
  });
}

/** An interface of the guest's namespace, set up as init does it in a machine. */
async function joinTap(network: MachineNetwork, namespace: string): Promise<ChildProcess> {
  const { mac, address, gateway, address6, gateway6 } = MACHINE.network;
  const enter = ['nsenter', `--net=/run/netns/${namespace}`, '--'];
  const relaying = [...enter, 'perl', '-e', RELAY];
  const [command, ...args] = [...tapPrefix(network, 3), ...relaying] as [string, ...string[]];
  const relay = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await readLines(relay)();
  const setUp = [
    ['link', 'set', 'eth0', 'address', mac],
    ['address', 'add', `${address}/30`, 'dev', 'eth0'],
    ['address', 'add', `${address6}/64`, 'dev', 'eth0', 'nodad'],
    ['link', 'set', 'eth0', 'up'],
    ['route', 'add', 'default', 'via', gateway],
    ['route', 'add', '::/0', 'via', gateway6],
  ];
  for (const words of setUp) run('ip', '-n', namespace, ...words);
  return relay;
}

/** A program of these tests in a network namespace: answers lines with lines, ends with its input. */
async function startProgram(
  name: string,
  namespacePath: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<{ ask(line: string): Promise<string>; end(): Promise<void> }> {
  const words = [`--net=${namespacePath}`, '--', process.execPath, join(import.meta.dirname, name)];
  const child = spawn('nsenter', words, {
    env: { ...process.env, ...environment },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const nextLine = readLines(child);
  await nextLine();
  return {
    async ask(line) {
      child.stdin.write(`${line}\n`);
      return await nextLine();
    },
    async end() {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
    },
  };
}
