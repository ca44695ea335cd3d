/** What the user asked to look at moves out of the sandbox's name, to where no reaper looks. */
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { explainError, type SandboxId } from '@onejob/protocol';

/** Answers a sentence for the user: where the files are, or why they are not there. */
export async function keepFiles(
  { keptDirectory, sandboxesDirectory }: { keptDirectory: string; sandboxesDirectory: string },
  sandboxId: SandboxId,
): Promise<string> {
  const kept = join(keptDirectory, sandboxId);
  try {
    await mkdir(keptDirectory, { recursive: true, mode: 0o700 });
    await rename(join(sandboxesDirectory, sandboxId), kept);
    return `The sandbox's files are kept in ${kept}.`;
  } catch (error) {
    return `The sandbox's files could not be kept: ${explainError(error)}`;
  }
}
