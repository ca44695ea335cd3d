/**
 * What works on this host, found out once, for all who ask. A failure is not kept: what is missing may
 * be installed meanwhile.
 */
export function findOnce<T>(find: () => Promise<T>): () => Promise<T> {
  let found: Promise<T> | undefined;
  return async () => {
    found ??= find();
    try {
      return await found;
    } catch (error) {
      found = undefined;
      throw error;
    }
  };
}
