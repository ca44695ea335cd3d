/**
 * The header, read as the specification tells a reader to. That QEMU reads it too is shown by every
 * sandbox that boots with an encrypted disk (agent/tests/encrypted-disk.vm.test.ts).
 */
import assert from 'node:assert/strict';
import { createDecipheriv, hash, pbkdf2Sync } from 'node:crypto';
import test from 'node:test';
import { LUKS_HEADER_BYTES, luksHeader } from './luks-header.ts';

/** The specification's AFmerge: what `split` made of a key of 64 bytes, whatever its stripes. */
function merge(stripes: Buffer): Buffer {
  let mixed = Buffer.alloc(64);
  for (let at = 0; at < stripes.length; at += 64) {
    mixed = Buffer.from(mixed.map((byte, index) => byte ^ (stripes[at + index] ?? 0)));
    if (at + 64 === stripes.length) return mixed;
    const half = (number: number): Buffer =>
      hash(
        'sha256',
        Buffer.concat([
          Buffer.from([0, 0, 0, number]),
          mixed.subarray(number * 32, number * 32 + 32),
        ]),
        'buffer',
      );
    mixed = Buffer.concat([half(0), half(1)]);
  }
  return mixed;
}

/** The key of the data, if this passphrase opens the first slot. */
function open(header: Buffer, passphrase: string): Buffer | undefined {
  const iterations = header.readUInt32BE(208 + 4);
  const salt = header.subarray(208 + 8, 208 + 40);
  const slotKey = pbkdf2Sync(passphrase, salt, iterations, 64, 'sha256');
  const start = header.readUInt32BE(208 + 40) * 512;
  const plain: Buffer[] = [];
  for (let sector = 0; sector < 500; sector++) {
    const tweak = Buffer.alloc(16);
    tweak.writeUInt32LE(sector);
    const decipher = createDecipheriv('aes-256-xts', slotKey, tweak);
    const at = start + sector * 512;
    plain.push(decipher.update(header.subarray(at, at + 512)), decipher.final());
  }
  const key = merge(Buffer.concat(plain));
  const digestSalt = header.subarray(132, 164);
  const digest = pbkdf2Sync(key, digestSalt, header.readUInt32BE(164), 20, 'sha256');
  return digest.equals(header.subarray(112, 132)) ? key : undefined;
}

test('its passphrase opens it, another does not, and no two headers have the same key', () => {
  const [one, two] = [luksHeader('first'), luksHeader('first')];
  const keys = [open(one, 'first'), open(two, 'first')];
  assert.ok(keys[0] !== undefined && keys[1] !== undefined);
  assert.notDeepEqual(keys[0], keys[1]);
  assert.equal(open(one, 'second'), undefined);
});

test('neither the passphrase nor the key of the data stands in it', () => {
  const passphrase = 'a passphrase that is looked for';
  const header = luksHeader(passphrase);
  const key = open(header, passphrase);
  assert.equal(header.indexOf(passphrase), -1);
  assert.equal(header.indexOf(key?.subarray(0, 16) ?? ''), -1);
});

test('one slot of eight is in use, each has room for its own and lies before the data', () => {
  const header = luksHeader('any');
  const slots = Array.from({ length: 8 }, (_, slot) => 208 + slot * 48);
  const states = slots.map((at) => header.readUInt32BE(at).toString(16));
  assert.deepEqual(states, ['ac71f3', ...Array.from({ length: 7 }, () => 'dead')]);
  const starts = slots.map((at) => header.readUInt32BE(at + 40));
  for (const [slot, start] of starts.entries()) {
    assert.ok((starts[slot + 1] ?? LUKS_HEADER_BYTES / 512) - start >= 500, `slot ${slot}`);
  }
  assert.equal(header.readUInt32BE(104), LUKS_HEADER_BYTES / 512);
});
