/**
 * A PID namespace for what we start: when its first process dies, the kernel kills all others in
 * it, whatever they forked, detached or renamed. Tried once, not guessed.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const PREFIX = ['unshare', '--pid', '--fork', '--kill-child=KILL', '--mount-proc', '--'] as const;

/** The words to put before a command; none where the host refuses such a namespace. */
export async function pidNamespacePrefix(): Promise<readonly string[]> {
  try {
    await promisify(execFile)(PREFIX[0], [...PREFIX.slice(1), 'true']);
    return PREFIX;
  } catch {
    return [];
  }
}
