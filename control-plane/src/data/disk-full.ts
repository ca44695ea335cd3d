/**
 * Recognizes a full disk, whoever met it: Node's file system calls, PGlite's file system inside
 * WebAssembly (WASI's errno 51 is ENOSPC), PostgreSQL (SQLSTATE 53100).
 */
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

export const diskFull = (path: string, cause: unknown): ControlPlaneError =>
  new ControlPlaneError(
    'disk_full',
    `No space is left for the data directory ${path}. Free some on that disk, or choose another ` +
      'directory.',
    // PGlite throws an object that is no Error and says nothing but a number.
    cause instanceof Error ? { cause } : {},
  );
