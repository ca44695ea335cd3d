/**
 * A guest's place at a network of a sandbox, without a machine: a namespace with the guest's interface
 * and programs of these tests in it. Frames go between that interface and the sandbox's tap by a relay
 * that gets the tap as QEMU does.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MACHINE, newJobId, newSandboxId, type SandboxId } from '@onejob/protocol';
import { AUDIT, type JobPolicy } from '../src/guard/job-policy.ts';
import type { SandboxNetwork, SandboxNetworks } from '../src/network/networks.ts';
import { tapPrefix } from '../src/network/tap.ts';
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

export async function startGuest(networks: SandboxNetworks, root: string): Promise<Guest> {
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
  const network = await networks.provision({ egress, directory, signal }, stack);

  const namespace = `guest-${sandboxId}`;
  const { mac, address, gateway, address6, gateway6 } = MACHINE.network;
  run('ip', 'netns', 'add', namespace);
  const enter = ['nsenter', `--net=/run/netns/${namespace}`, '--'];
  const relaying = [...enter, 'perl', '-e', RELAY];
  const [command, ...args] = [...tapPrefix(network.machine, 3), ...relaying] as [
    string,
    ...string[],
  ];
  const relay = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await readLines(relay)();
  const setUp = [
    ['link', 'set', 'lo', 'up'],
    ['link', 'set', 'eth0', 'address', mac],
    ['address', 'add', `${address}/30`, 'dev', 'eth0'],
    ['address', 'add', `${address6}/64`, 'dev', 'eth0', 'nodad'],
    ['link', 'set', 'eth0', 'up'],
    ['route', 'add', 'default', 'via', gateway],
    ['route', 'add', '::/0', 'via', gateway6],
  ];
  for (const words of setUp) run('ip', '-n', namespace, ...words);
  const guest = await startProgram('_network-guest.ts', `/run/netns/${namespace}`);
  // Nothing listens in a sandbox's namespace; here something does, so that reaching it is seen.
  const inside = await startProgram('_marker-listener.ts', network.machine.namespacePath);
  return Object.assign<{ policy: JobPolicy }, Omit<Guest, 'policy'>>(own, {
    ...{ sandboxId, network, stack, namespace },
    arrivals: async () => Number(await inside.ask('count')),
    ask: async (probes) => JSON.parse(await guest.ask(JSON.stringify(probes))) as string[],
    async end() {
      const relayEnds = once(relay, 'exit');
      relay.kill();
      await Promise.all([guest.end(), inside.end(), relayEnds]);
      run('ip', 'netns', 'delete', namespace);
    },
  });
}

/** A program of these tests in a network namespace: answers lines with lines, ends with its input. */
async function startProgram(
  name: string,
  namespacePath: string,
): Promise<{ ask(line: string): Promise<string>; end(): Promise<void> }> {
  const words = [`--net=${namespacePath}`, '--', process.execPath, join(import.meta.dirname, name)];
  const child = spawn('nsenter', words, { stdio: ['pipe', 'pipe', 'inherit'] });
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
