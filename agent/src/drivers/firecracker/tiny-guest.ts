/**
 * A guest that shows that KVM runs one at the processor's speed: a /dev/kvm that opens proves nothing, and
 * there are hosts that only emulate behind it. For the firecracker driver, since it may be the only
 * monitor of its host; qemu has its own (agent/src/host/kvm-probe.ts).
 *
 *     "onejob-guest" -> 20 million times {add, dec, jnz} -> "-done" -> the processor is reset
 *
 * An ELF file for the 64-bit boot protocol of Linux, as Firecracker loads it: one segment at 1 MiB, where
 * that begins to place kernels. It writes to the first serial port, which is Firecracker's standard
 * output, and ends by the keyboard's controller: Firecracker then ends with exit status 0.
 */
const BEFORE = 'onejob-guest';
const AFTER = '-done';
/** What Firecracker's standard output then holds, in one piece. */
export const TINY_GUEST_SAYS = BEFORE + AFTER;

const LOADED_AT = 0x10_0000;
const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const ROUNDS = 20_000_000;

/** Intel's manual, volume 2, for 64-bit mode. */
const LEA_RSI_RIP = [0x48, 0x8d, 0x35] as const;
const MOV_ECX = 0xb9;
/** lodsb; out dx, al; loop: what RSI points to, ECX bytes of it, to the port in DX. */
const WRITE_OUT = [0xac, 0xee, 0xe2, 0xfc] as const;
/** mov dx, 0x3f8: the transmitter of the first serial port. */
const MOV_DX_SERIAL = [0x66, 0xba, 0xf8, 0x03] as const;
/** add eax, 1; dec ecx; jnz. */
const COUNT_DOWN = [0x83, 0xc0, 0x01, 0xff, 0xc9, 0x75, 0xf9] as const;
/** mov al, 0xfe; out 0x64, al: reset; then hlt, for ever. */
const RESET = [0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd] as const;

const word = (value: number): number[] => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return [...bytes];
};

function code(): Buffer {
  const leaBytes = LEA_RSI_RIP.length + 4;
  const tail = [MOV_ECX, ...word(AFTER.length), ...WRITE_OUT, ...RESET];
  const middle = [MOV_ECX, ...word(BEFORE.length), ...MOV_DX_SERIAL, ...WRITE_OUT];
  middle.push(MOV_ECX, ...word(ROUNDS), ...COUNT_DOWN);
  // Both are counted from the instruction behind the lea.
  const toBefore = middle.length + leaBytes + tail.length;
  const toAfter = tail.length + BEFORE.length;
  return Buffer.concat([
    Buffer.from([...LEA_RSI_RIP, ...word(toBefore), ...middle]),
    Buffer.from([...LEA_RSI_RIP, ...word(toAfter), ...tail]),
    Buffer.from(BEFORE + AFTER, 'latin1'),
  ]);
}

/** The file (System V ABI, chapters 4 and 5; AMD64 supplement). */
export function tinyGuest(): Buffer {
  const program = code();
  const header = Buffer.alloc(ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES);
  header.write('\x7fELF\x02\x01\x01', 'latin1'); // 64 bit, little-endian, version 1
  header.writeUInt16LE(2, 16); // executable
  header.writeUInt16LE(62, 18); // x86-64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(LOADED_AT), 24);
  header.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32);
  header.writeUInt16LE(ELF_HEADER_BYTES, 52);
  header.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  header.writeUInt16LE(1, 56);
  const segment = ELF_HEADER_BYTES;
  header.writeUInt32LE(1, segment); // to be loaded
  header.writeUInt32LE(5, segment + 4); // readable, executable
  header.writeBigUInt64LE(BigInt(header.length), segment + 8);
  header.writeBigUInt64LE(BigInt(LOADED_AT), segment + 16);
  header.writeBigUInt64LE(BigInt(LOADED_AT), segment + 24);
  header.writeBigUInt64LE(BigInt(program.length), segment + 32);
  header.writeBigUInt64LE(BigInt(program.length), segment + 40);
  header.writeBigUInt64LE(1n, segment + 48);
  return Buffer.concat([header, program]);
}

/** For `--config-file` with `--no-api` (docs/getting-started.md, "Configuring the microVM without"). */
export const tinyMachine = (kernelPath: string): object => ({
  'boot-source': { kernel_image_path: kernelPath },
  drives: [],
  'machine-config': { vcpu_count: 1, mem_size_mib: 128 },
});
