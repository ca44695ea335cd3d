import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeAddress } from './dns-server.ts';

test('addresses of both versions become their bytes', () => {
  assert.equal(encodeAddress('10.20.30.40').toString('hex'), '0a141e28');
  assert.equal(encodeAddress('fd12:3456::20').toString('hex'), 'fd123456000000000000000000000020');
  assert.equal(encodeAddress('::1').toString('hex'), '00000000000000000000000000000001');
  assert.equal(
    encodeAddress('::ffff:10.20.30.43').toString('hex'),
    '00000000000000000000ffff0a141e2b',
  );
});
