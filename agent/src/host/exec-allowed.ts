/**
 * Whether programs can be run from a directory's file system, found out by trying: one that is mounted
 * `noexec` refuses each, whatever its modes. Interpreters still read what lies there (`sh file`).
 */
import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { runTool } from './short-tool.ts';

/** An exit status that nothing else of this has. */
const RAN = 42;
/** The status of setpriv for a program that is there and may not be run. */
const NOT_ALLOWED = 126;
const TRY_TIMEOUT_MS = 5_000;

export async function mayRunFrom(directory: string): Promise<boolean> {
  const path = join(directory, `.onejob-${randomBytes(8).toString('hex')}`);
  try {
    await writeFile(path, `#!/bin/sh\nexit ${RAN}\n`, { mode: 0o700, flag: 'wx' });
    const { exitCode, standardError } = await runTool(path, [], { timeoutMs: TRY_TIMEOUT_MS });
    if (exitCode === RAN) return true;
    if (exitCode === NOT_ALLOWED) return false;
    throw new AgentError(
      'boot_failed',
      `Whether programs may be run from ${directory} cannot be told: ${standardError.trim() || `exit ${exitCode}`}.`,
    );
  } finally {
    await rm(path, { force: true });
  }
}
