/**
 * Recognizes a full disk, whoever met it: Node's file system calls, PGlite's file system inside
 * WebAssembly (WASI's errno 51 is ENOSPC), PostgreSQL (SQLSTATE 53100).
 */
import { statfsSync } from 'node:fs';
import { ControlPlaneError } from '../errors.ts';

const WASI_ENOSPC = 51;
const FULL_CODES: readonly unknown[] = ['ENOSPC', 'EDQUOT', '53100'];
/** Causes hang on causes; deeper than this they go in a circle. */
const CAUSES = 10;

export function isDiskFull(error: unknown): boolean {
  let one = error as
    | { code?: unknown; name?: unknown; errno?: unknown; cause?: unknown }
    | undefined;
  for (let depth = 0; one !== null && typeof one === 'object' && depth < CAUSES; depth += 1) {
    if (FULL_CODES.includes(one.code)) return true;
    if (one.name === 'ErrnoError' && one.errno === WASI_ENOSPC) return true;
    one = one.cause as typeof one;
  }
  return false;
}

/** Says whose disk is full; one that says it already is returned as it is. */
export function diskFull(path: string, cause: unknown): ControlPlaneError {
  if (cause instanceof ControlPlaneError && cause.code === 'disk_full') return cause;
  return new ControlPlaneError(
    'disk_full',
    `No space is left for ${path}: ${freeBytes(path)} on its disk are free. Free some on that disk, ` +
      'or choose another data directory.',
    // PGlite throws an object that is no Error and says nothing but a number.
    cause instanceof Error ? { cause } : {},
  );
}

function freeBytes(path: string): string {
  try {
    const { bavail, bsize } = statfsSync(path);
    return `${bavail * bsize} bytes`;
  } catch {
    // What could not even be made has no disk of its own to ask.
    return 'too few bytes';
  }
}
