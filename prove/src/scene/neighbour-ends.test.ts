import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const canMakeNetworks = process.getuid?.() === 0 && existsSync('/usr/sbin/ip');

/** In a network namespace of its own: each attack on a place, tried from there. */
const TRIAL = `
  import { execFileSync, spawn } from 'node:child_process';
  import { once } from 'node:events';
  import { connect } from 'node:net';
  const at = ${JSON.stringify(join(import.meta.dirname, '..'))};
  const { aim, needsEnds, neighbourAttacks, neighbourScript, ownPlaces, ADDRESSES_SCRIPT } =
    await import(at + '/attacks/neighbour.ts');
  const { openEnds, openStandIn } = await import(at + '/scene/neighbour-ends.ts');
  const run = (script) => execFileSync('sh', ['-c', script + ' || true'], { encoding: 'utf8', stdio: 'pipe' });
  const ask = async (target) => {
    const [, host, port] = /^\\[?(.*?)\\]?:(\\d+)$/.exec(target);
    const socket = connect({ host, port });
    let said = '';
    socket.on('data', (data) => (said += data)).on('error', (error) => (said += error.code));
    await once(socket, 'connect').then(() => socket.write('GET /x\\n'), () => {});
    if (!socket.destroyed) await once(socket, 'close');
    return said.trim();
  };
  run('ip link set lo up; ip link add own0 type veth peer name own1; ip addr add 203.0.113.1/24 dev own0; ' +
    'ip addr add 2001:db8:ffff::1/64 dev own0 nodad; ip link set own0 up; ip link set own1 up');
  const own = ownPlaces(run(ADDRESSES_SCRIPT));
  const neighbour = spawn('sh', ['-c', neighbourScript('own-value')], { stdio: 'pipe', detached: true });
  await once(neighbour.stdout, 'data');
  const tell = async (places) => {
    const all = {};
    for (const attack of neighbourAttacks({ network: 'nat' })) {
      const { probe } = aim(attack, places)?.probes[0] ?? {};
      const isOfPlace = attack.probes[0].probe.do === 'reach';
      if (isOfPlace && probe === undefined) all[attack.id] = 'no place';
      else if (isOfPlace) all[attack.id] = probe.do === 'script' ? run(probe.script) : await ask(probe.target);
    }
    return all;
  };
  const ends = await openStandIn('end-value');
  const open = await tell(new Map([...own, ...ends.places]));
  await ends[Symbol.asyncDispose]();
  for (let left = 50; left > 0 && run('ip -o link show prove-end0') !== ''; left -= 1)
    await new Promise((resolve) => setTimeout(resolve, 20));
  const interfaces = run('ip -o link show prove-end0');
  const none = await openEnds('sb0123456789abcdef', 'end-value');
  process.kill(-neighbour.pid, 'SIGKILL');
  console.log(JSON.stringify({ open, interfaces, none: [...none.places] }));
`;

test('every attack on a place of the other sandbox gets through where nothing holds it, and nothing stays', (t) => {
  if (!canMakeNetworks) return t.skip('it takes root and iproute2');
  // What the neighbour leaves in /tmp and in shared memory goes with the trial.
  const apart = 'mount -t tmpfs tmpfs /tmp && exec "$@"';
  const program = [process.execPath, '--input-type=module', '-e', TRIAL];
  const words = ['--net', '--ipc', '--mount', 'sh', '-c', apart, 'sh', ...program];
  const { stdout, stderr, status } = spawnSync('unshare', words, { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const { open, interfaces, none } = JSON.parse(stdout) as {
    open: Record<string, string>;
    interfaces: string;
    none: unknown[];
  };
  assert.deepEqual(open, {
    'neighbour-address': 'own-value',
    'neighbour-address-6': 'own-value',
    'neighbour-namespace': 'end-value',
    'neighbour-namespace-6': 'end-value',
    'neighbour-host-end': 'end-value',
    'neighbour-host-end-6': 'end-value',
    'neighbour-ping': 'answered by 10.213.255.253',
    'neighbour-ping-6': 'answered by fd6f:6e65:6a6f:1::fffd',
    'neighbour-ping-host-end': 'answered by 10.213.255.252',
    'neighbour-ping-host-end-6': 'answered by fd6f:6e65:6a6f:1::fffc',
  });
  assert.equal(interfaces, '');
  // A sandbox without a network has no such places.
  assert.deepEqual(none, []);
});
