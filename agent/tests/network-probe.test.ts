/** What is found out of hosts that lack something of network mode `nat`, each a namespace of its own. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { NetworkProbe } from '../src/index.ts';
import { HostLab } from './_host-lab.ts';

const PROGRAM = join(import.meta.dirname, '_trying-agent.ts');
const TOOLS = ['/usr/sbin/nft', '/usr/sbin/conntrack', '/usr/bin/qemu-system-x86_64'];
const isFit = process.getuid?.() === 0 && TOOLS.every((path) => existsSync(path));
const skip = isFit ? false : 'it takes root, nftables, conntrack and QEMU';

/** It forwards, and has an interface with a default route for both versions of IP. */
function openHost(): HostLab {
  using undo = new DisposableStack();
  const lab = undo.use(new HostLab());
  lab.run('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  const commands = [
    ['link', 'add', 'wan', 'type', 'veth', 'peer', 'name', 'far'],
    ['link', 'set', 'far', 'up'],
    ['link', 'set', 'wan', 'up'],
    ['address', 'add', '203.0.113.1/24', 'dev', 'wan'],
    ['address', 'add', '2001:db8::1/64', 'dev', 'wan', 'nodad'],
    ['route', 'add', 'default', 'via', '203.0.113.2'],
    ['-6', 'route', 'add', 'default', 'via', 'fe80::1', 'dev', 'wan'],
  ];
  for (const words of commands) lab.run('ip', ...words);
  undo.move();
  return lab;
}

/** Of an agent there is a note alone: why it does not start. */
function tryIt(lab: HostLab, what: 'network' | 'agent with networks'): NetworkProbe {
  const told = { what, stateDirectory: join(lab.root, 'state'), cacheDirectory: lab.cache };
  return JSON.parse(lab.run(process.execPath, PROGRAM, JSON.stringify(told))) as NetworkProbe;
}

test(
  'a host without taps has networks for containers, and says what the others lack',
  { skip },
  () => {
    using lab = openHost();
    const whole = tryIt(lab, 'network');
    assert.deepEqual([whole.note, whole.missingCards], ['IPv4 and IPv6', {}]);
    const lacking = /; only for containers \(docker\), since machines of others take a tap: (.*)$/s;

    lab.run('mount', '-t', 'tmpfs', 'tmpfs', '/dev/net');
    const without = tryIt(lab, 'network');
    const { note } = tryIt(lab, 'agent with networks');
    lab.run('umount', '/dev/net');
    const whyNot = 'there is no /dev/net/tun; load the module: modprobe tun';
    assert.deepEqual([without.works, without.hasIpv6], [true, true]);
    assert.deepEqual(without.missingCards, { tap: whyNot });
    assert.equal(lacking.exec(without.note)?.[1], whyNot);
    assert.deepEqual([`IPv4 and IPv6; ${without.warnings.join()}`], [without.note]);
    const refused = `Network mode nat does not work here with the driver qemu: ${whyNot}.`;
    assert.equal(note, `${refused} (network_unavailable)`);

    lab.run('mount', '--bind', '/dev/null', '/dev/net/tun');
    const broken = tryIt(lab, 'network');
    assert.deepEqual([broken.works, Object.keys(broken.missingCards)], [true, ['tap']]);
    assert.match(lacking.exec(broken.note)?.[1] ?? '', /could not be made .*tun/is);
    assert.deepEqual(
      lab.inventory().filter((one) => one.includes('onejob')),
      [],
    );
  },
);

test(
  'a host that has no IPv6 address but those of its links gives sandboxes no IPv6',
  { skip },
  () => {
    using lab = openHost();
    lab.run('ip', 'address', 'delete', '2001:db8::1/64', 'dev', 'wan');
    const { works, hasIpv6, note, warnings } = tryIt(lab, 'network');
    assert.deepEqual([works, hasIpv6, warnings], [true, false, []]);
    assert.equal(note, 'IPv4; no IPv6: this host has no address of it but those of its links');
  },
);
