/**
 * A PID namespace for what we start: when its first process dies, the kernel kills all others in
 * it, whatever they forked, detached or renamed. Tried once, not guessed: as root, else in a user
 * namespace that knows the current user only (so `sudo` does not work in it), where the host allows.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const NAMESPACE = ['--pid', '--fork', '--kill-child=KILL', '--mount-proc', '--'] as const;
const PREFIXES = [
  ['unshare', ...NAMESPACE],
  ['unshare', '--user', '--map-current-user', ...NAMESPACE],
] as const;

/**
 * The words to put before a command; none where the host refuses such a namespace.
 * @param as who will run it; by default who we are
 */
export async function pidNamespacePrefix(
  as: { uid?: number; gid?: number } = {},
): Promise<readonly string[]> {
  for (const prefix of PREFIXES) {
    const [command, ...args] = prefix;
    try {
      await promisify(execFile)(command, [...args, 'true'], { ...as, cwd: '/' });
      return prefix;
    } catch {
      // the next one needs less
    }
  }
  return [];
}
