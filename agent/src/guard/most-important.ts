/**
 * A bounded collection that keeps what matters most: when it is full, the least important one leaves,
 * which may be the one that came. Of equal ones the later. Its order is that of coming.
 */

/** Compared from the first number on; more is more important. */
export type Importance = readonly [number, number];

export class MostImportant<Key, Value> {
  readonly #limit: number;
  readonly #importanceOf: (value: Value) => Importance;
  readonly #kept = new Map<Key, Value>();
  /** Looked for only when it is needed: most of what comes to a full one is no more important. */
  #least: Key | undefined;

  constructor(limit: number, importanceOf: (value: Value) => Importance) {
    this.#limit = limit;
    this.#importanceOf = importanceOf;
  }

  get(key: Key): Value | undefined {
    return this.#kept.get(key);
  }

  /** In the place of what has that key, or new. @returns what is not kept for it */
  add(key: Key, value: Value): Value | undefined {
    if (this.#kept.has(key)) {
      this.#kept.set(key, value);
      if (this.#least === key) this.#least = undefined;
      return undefined;
    }
    if (this.#kept.size < this.#limit) {
      this.#kept.set(key, value);
      this.#least = undefined;
      return undefined;
    }
    const [leastKey, least] = this.#findLeast();
    if (this.#compare(value, least) <= 0) return value;
    this.#kept.delete(leastKey);
    this.#kept.set(key, value);
    this.#least = undefined;
    return least;
  }

  /** In the order they came. */
  values(): Value[] {
    return [...this.#kept.values()];
  }

  /** Values may only have become more important since it was found. Of equal ones the last. */
  #findLeast(): [Key, Value] {
    if (this.#least === undefined) {
      let found: [Key, Value] | undefined;
      for (const [key, value] of this.#kept) {
        if (found === undefined || this.#compare(value, found[1]) <= 0) found = [key, value];
      }
      this.#least = found?.[0];
    }
    const key = this.#least as Key;
    return [key, this.#kept.get(key) as Value];
  }

  #compare(one: Value, other: Value): number {
    const [first, second] = this.#importanceOf(one);
    const [otherFirst, otherSecond] = this.#importanceOf(other);
    return first - otherFirst || second - otherSecond;
  }
}
