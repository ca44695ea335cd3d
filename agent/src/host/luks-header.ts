/**
 * The header of a LUKS container, version 1 (LUKS On-Disk Format Specification 1.2.3): a random key
 * for the data, encrypted with a passphrase. AES-256-XTS, the default of QEMU, which reads it.
 *
 * Made here, since a tool that makes one measures the processor for a second to slow down whoever
 * guesses passphrases. Ours has 256 random bits and is on no disk, so there is nothing to guess, and
 * the anti-forensic stripes, which keep an erased key erased, have nothing to add: they are zeros.
 */
import { createCipheriv, hash, pbkdf2Sync, randomBytes, randomUUID } from 'node:crypto';

const SECTOR_BYTES = 512;
/** Two keys of AES-256, as XTS takes them. */
const KEY_BYTES = 64;
/** The specification's number; QEMU takes no other. */
const STRIPES = 4_000;
const SLOTS = 8;
/** The specification's smallest. */
const ITERATIONS = 1_000;
const SALT_BYTES = 32;
const KEY_DIGEST_BYTES = 20;
const HASH = 'sha256';
const HASH_BYTES = 32;
const SLOT_ENABLED = 0x00ac71f3;
const SLOT_DISABLED = 0x0000dead;
/** Key material begins at multiples of 4 KiB. */
const ALIGNMENT_SECTORS = 8;

const MATERIAL_BYTES = KEY_BYTES * STRIPES;
const SLOT_SECTORS =
  Math.ceil(MATERIAL_BYTES / SECTOR_BYTES / ALIGNMENT_SECTORS) * ALIGNMENT_SECTORS;
const slotAt = (slot: number): number => ALIGNMENT_SECTORS + slot * SLOT_SECTORS;
const PAYLOAD_SECTOR = slotAt(SLOTS);

/** Of the whole header, the room of unused key slots included. */
export const LUKS_HEADER_BYTES = PAYLOAD_SECTOR * SECTOR_BYTES;

/** Its written part, from its first byte: the key slots that follow are unused, and zeros. */
export function luksHeader(passphrase: string): Buffer {
  const key = randomBytes(KEY_BYTES);
  const digestSalt = randomBytes(SALT_BYTES);
  const slotSalt = randomBytes(SALT_BYTES);
  const header = Buffer.alloc(slotAt(1) * SECTOR_BYTES);
  header.write('LUKS\xba\xbe', 0, 'latin1');
  header.writeUInt16BE(1, 6);
  header.write('aes', 8);
  header.write('xts-plain64', 40);
  header.write(HASH, 72);
  header.writeUInt32BE(PAYLOAD_SECTOR, 104);
  header.writeUInt32BE(KEY_BYTES, 108);
  pbkdf2Sync(key, digestSalt, ITERATIONS, KEY_DIGEST_BYTES, HASH).copy(header, 112);
  digestSalt.copy(header, 132);
  header.writeUInt32BE(ITERATIONS, 164);
  header.write(randomUUID(), 168);
  for (let slot = 0; slot < SLOTS; slot++) {
    const at = 208 + slot * 48;
    header.writeUInt32BE(slot === 0 ? SLOT_ENABLED : SLOT_DISABLED, at);
    header.writeUInt32BE(slot === 0 ? ITERATIONS : 0, at + 4);
    if (slot === 0) slotSalt.copy(header, at + 8);
    header.writeUInt32BE(slotAt(slot), at + 40);
    header.writeUInt32BE(STRIPES, at + 44);
  }
  const slotKey = pbkdf2Sync(passphrase, slotSalt, ITERATIONS, KEY_BYTES, HASH);
  encryptSectors(slotKey, split(key)).copy(header, slotAt(0) * SECTOR_BYTES);
  return header;
}

/** xts-plain64: the tweak of a sector is its number, counted from the first of what is encrypted. */
function encryptSectors(key: Buffer, plain: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let sector = 0; sector * SECTOR_BYTES < plain.length; sector++) {
    const tweak = Buffer.alloc(16);
    tweak.writeUInt32LE(sector);
    const cipher = createCipheriv('aes-256-xts', key, tweak);
    parts.push(
      cipher.update(plain.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)),
      cipher.final(),
    );
  }
  return Buffer.concat(parts);
}

let diffusedZeros: Buffer | undefined;

/** The specification's AFsplit, with stripes of zeros: all before the last diffuse to a constant. */
function split(key: Buffer): Buffer {
  diffusedZeros ??= diffuse(Buffer.alloc(KEY_BYTES), STRIPES - 1);
  const stripes = Buffer.alloc(MATERIAL_BYTES);
  const last = stripes.subarray(-KEY_BYTES);
  for (const [index, byte] of key.entries()) last[index] = byte ^ (diffusedZeros[index] ?? 0);
  return stripes;
}

function diffuse(block: Buffer, times: number): Buffer {
  let mixed = block;
  for (let time = 0; time < times; time++) {
    const parts: Buffer[] = [];
    for (let at = 0; at < mixed.length; at += HASH_BYTES) {
      const number = Buffer.alloc(4);
      number.writeUInt32BE(at / HASH_BYTES);
      parts.push(
        hash(HASH, Buffer.concat([number, mixed.subarray(at, at + HASH_BYTES)]), 'buffer'),
      );
    }
    mixed = Buffer.concat(parts);
  }
  return mixed;
}
