/**
 * A platform, and the first answer of it. An owner that was joined may end at any moment: until it
 * has answered, the same is asked of the next owner, which may be this process itself.
 */
import type { Platform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';

/** Owners that end while they are asked: more in a row are no accident. */
const OWNERS = 10;

/**
 * @param ask what may be asked twice, because it changes nothing the second time
 * @returns the platform is the caller's to dispose
 */
export async function openAndAsk<T>(
  open: () => Promise<Platform>,
  ask: (platform: Platform) => Promise<T>,
): Promise<{ platform: Platform; answer: T }> {
  for (let owners = 1; ; owners += 1) {
    await using undo = new AsyncDisposableStack();
    const platform = undo.use(await open());
    try {
      const answer = await ask(platform);
      undo.move();
      return { platform, answer };
    } catch (error) {
      if (!platform.joined || !isGone(error) || owners >= OWNERS) throw error;
    }
  }
}

const isGone = (error: unknown): boolean =>
  error instanceof CliError && error.code === 'platform_unreachable';
