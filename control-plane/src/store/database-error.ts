/**
 * Translates what a database driver throws. SQL states are those of PostgreSQL's appendix A
 * ("PostgreSQL Error Codes"); everything not named here passes unchanged and counts as our own
 * mistake, never as a reason to try again.
 */
import { ControlPlaneError } from '../errors.ts';

/** Lost a race that running again can win: serialization_failure, deadlock_detected. */
const RACE_LOST = new Set(['40001', '40P01']);
/** admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections, and class 08. */
const UNREACHABLE = /^(?:57P0[123]|53300|08...)$/;
const UNREACHABLE_ERRNO = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOENT',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
/** disk_full of a server; the embedded database says itself whose disk it is. */
const DISK_FULL = '53100';
/** What `pg` says without a code when the server goes away or no connection comes free in time. */
const UNREACHABLE_MESSAGE =
  /connection terminated|timeout exceeded when trying to connect|client has encountered a connection error/i;

function codeOf(error: unknown): string {
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
  return typeof code === 'string' ? code : '';
}

export const isRaceLost = (error: unknown): boolean => RACE_LOST.has(codeOf(error));

function isUnreachable(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isUnreachable);
  if (!(error instanceof Error)) return false;
  const code = codeOf(error);
  if (UNREACHABLE.test(code) || UNREACHABLE_ERRNO.has(code)) return true;
  return UNREACHABLE_MESSAGE.test(error.message);
}

export function translateDatabaseError(error: unknown): unknown {
  if (codeOf(error) === DISK_FULL) {
    return new ControlPlaneError(
      'disk_full',
      'The disk of the database server is full. Free some of it; what was acknowledged is kept.',
      { cause: error },
    );
  }
  if (error instanceof ControlPlaneError || !isUnreachable(error)) return error;
  return new ControlPlaneError(
    'database_unreachable',
    'The database does not answer. Running jobs go on; try again when it is back.',
    { cause: error },
  );
}
