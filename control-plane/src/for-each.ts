/**
 * Periodic work over many runs, logs or tasks: one that fails, for what its tenant wrote or for a
 * file that is gone, must not stop the work for all others.
 */

/** One after the other, to the last; then throws what the first that failed threw. */
export async function forEach<T>(
  items: Iterable<T>,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  const errors: unknown[] = [];
  for (const item of items) await work(item).catch((error: unknown) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}
