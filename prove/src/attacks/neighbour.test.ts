import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Place, SandboxAttack } from '../attack.ts';
import { aim, hexadecimal6, neighbourAttacks, ownPlaces } from './neighbour.ts';

const attacks = neighbourAttacks({ network: 'nat' });
const find = (id: string): SandboxAttack => {
  const found = attacks.find((attack) => attack.id === id);
  assert.ok(found, id);
  return found;
};

test('nothing but addresses is taken from what the other job says of itself, one of each version', () => {
  const said = "172.31.0.2\n$(reboot)\n172.31.0.9\nfd6f::2'; x\nfd6f:6e65:6a6f::2\n";
  const places = [...ownPlaces(said)];
  assert.deepEqual(places, [
    ['address', '172.31.0.2'],
    ['address-6', 'fd6f:6e65:6a6f::2'],
  ]);
  assert.equal(ownPlaces('').size, 0);
});

test('an attack on a place asks for its address, and by the proxy alone where it is the same in all machines; without one it is not there', () => {
  const places = new Map<Place, string>([
    ['namespace', '10.213.7.3'],
    ['address-6', 'fd6f:6e65:6a6f::2'],
  ]);
  const [{ probe } = {}] = aim(find('neighbour-namespace'), places)?.probes ?? [];
  assert.deepEqual(probe, { do: 'connect', target: '10.213.7.3:27111', times: 1 });
  const [{ probe: own } = {}] = aim(find('neighbour-address-6'), places)?.probes ?? [];
  assert.deepEqual(own, {
    do: 'connect',
    target: '[fd6f:6e65:6a6f::2]:27110',
    times: 1,
    way: 'proxy',
  });
  assert.equal(aim(find('neighbour-host-end'), places), undefined);
  assert.equal(aim(find('neighbour-file'), new Map()), find('neighbour-file'));
});

test('an address is its sixteen bytes, however it is shortened', () => {
  assert.equal(hexadecimal6('fd6f:6e65:6a6f:1::fffc'), 'fd6f6e656a6f0001000000000000fffc');
  assert.equal(hexadecimal6('::1'), '0'.repeat(31) + '1');
  assert.equal(hexadecimal6('fd00::'), `fd00${'0'.repeat(28)}`);
  assert.equal(hexadecimal6('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008');
});
