import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MadeUpAddresses } from './made-up-addresses.ts';
import { authorityOf } from './unproxied.ts';

test('a connection is asked for by the name its address stands for, or by the address', () => {
  const addresses = new MadeUpAddresses();
  const made = addresses.addressOf('forge.example') ?? '';
  const at = (address: string, port: number) => authorityOf({ address, port }, addresses);
  assert.equal(at(made, 9418), 'forge.example:9418');
  assert.equal(at('192.0.2.7', 22), '192.0.2.7:22');
  assert.equal(at('198.19.255.255', 443), undefined);
  assert.equal(at('', 443), undefined);
});
