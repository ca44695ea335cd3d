/**
 * Writes a cpio archive in the "newc" format that the kernel unpacks as its initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Equal entries give equal bytes.
 */
export interface CpioEntry {
  /** Relative, without a leading slash; parents come before children. */
  path: string;
  /** Type and permission bits, as in stat(2). */
  mode: number;
  data?: Uint8Array;
}

const DIRECTORY = 0o040755;
const EXECUTABLE = 0o100755;
const REGULAR = 0o100644;

export function directoryEntry(path: string): CpioEntry {
  return { path, mode: DIRECTORY };
}

export function fileEntry(path: string, data: Uint8Array, kind: 'data' | 'program'): CpioEntry {
  return { path, mode: kind === 'program' ? EXECUTABLE : REGULAR, data };
}

export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  const end: CpioEntry = { path: 'TRAILER!!!', mode: 0 };
  [...entries, end].forEach((entry, index) => {
    const name = Buffer.from(`${entry.path}\0`);
    const data = entry.data ?? new Uint8Array(0);
    const isDirectory = (entry.mode & 0o170000) === 0o040000;
    // ino, mode, uid, gid, nlink, mtime, filesize, devmajor/minor, rdevmajor/minor, namesize, check
    const fields = [index + 1, entry.mode, 0, 0, isDirectory ? 2 : 1, 0, data.length];
    fields.push(0, 0, 0, 0, name.length, 0);
    const hex = fields.map((field) => field.toString(16).toUpperCase().padStart(8, '0'));
    const header = Buffer.from(`070701${hex.join('')}`);
    parts.push(header, name, padding(header.length + name.length), data, padding(data.length));
  });
  return Buffer.concat(parts);
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
