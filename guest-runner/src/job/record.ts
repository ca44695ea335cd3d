/** An object without a prototype: names come from outside, and `__proto__` is one. */
export const record = <T>(from: Record<string, T> = {}): Record<string, T> =>
  Object.assign(Object.create(null) as Record<string, T>, from);
