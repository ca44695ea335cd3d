/** The tiny guest as a file, and its program run by a processor of this test's that knows its few words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TINY_GUEST_SAYS, tinyGuest } from './tiny-guest.ts';

const SEGMENT = 64;

test('it is an ELF file with one segment, where Firecracker places kernels', () => {
  const file = tinyGuest();
  assert.equal(file.toString('latin1', 0, 4), '\x7fELF');
  assert.equal(file.readBigUInt64LE(24), 0x10_0000n); // entry
  assert.equal(file.readUInt16LE(54), 56);
  assert.equal(file.readUInt16LE(56), 1);
  const offset = Number(file.readBigUInt64LE(SEGMENT + 8));
  assert.equal(file.readBigUInt64LE(SEGMENT + 24), 0x10_0000n);
  assert.equal(Number(file.readBigUInt64LE(SEGMENT + 32)), file.length - offset);
});

test('its program says its words, counts 20 million between them and resets the processor', () => {
  const file = tinyGuest();
  const { said, counted, reset } = execute(file.subarray(SEGMENT + 56));
  assert.equal(said, TINY_GUEST_SAYS);
  assert.equal(counted, 20_000_000);
  assert.equal(reset, true);
});

/** Opcodes of Intel's manual, volume 2, as far as they occur; a loop of counting is done in one go. */
function execute(memory: Buffer): { said: string; counted: number; reset: boolean } {
  const seen = { said: '', counted: 0, reset: false };
  let [ip, rsi, ecx, al, dx] = [0, 0, 0, 0, 0];
  const is = (...bytes: number[]): boolean =>
    memory.subarray(ip, ip + bytes.length).equals(Buffer.from(bytes));
  for (let steps = 0; steps < 1000 && !seen.reset; steps++) {
    if (is(0x48, 0x8d, 0x35)) [rsi, ip] = [ip + 7 + memory.readInt32LE(ip + 3), ip + 7];
    else if (is(0xb9)) [ecx, ip] = [memory.readInt32LE(ip + 1), ip + 5];
    else if (is(0x66, 0xba)) [dx, ip] = [memory.readUInt16LE(ip + 2), ip + 4];
    else if (is(0xac)) [al, rsi, ip] = [memory[rsi] ?? 0, rsi + 1, ip + 1];
    else if (is(0xb0)) [al, ip] = [memory[ip + 1] ?? 0, ip + 2];
    else if (is(0xee)) {
      assert.equal(dx, 0x3f8);
      seen.said += String.fromCharCode(al);
      ip += 1;
    } else if (is(0xe2)) ip += 2 + (--ecx === 0 ? 0 : memory.readInt8(ip + 1));
    else if (is(0x83, 0xc0, 0x01, 0xff, 0xc9, 0x75)) {
      assert.equal(ip + 7 + memory.readInt8(ip + 6), ip); // back to the add
      [seen.counted, ip] = [ecx, ip + 7];
    } else if (is(0xe6, 0x64)) seen.reset = al === 0xfe;
    else assert.fail(`an unknown word at ${ip}: ${memory.subarray(ip, ip + 8).toString('hex')}`);
  }
  return seen;
}
