/**
 * The age of things of which the kernel does not tell it: since when they have been seen. Kept in a file
 * of the state directory, so that looks by a timer, a process each, add up. Losing it makes things
 * younger than they are, never older.
 */
import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';

export class FirstSeen {
  readonly #path: string;
  readonly #before: ReadonlyMap<string, number>;
  readonly #now = new Map<string, number>();

  private constructor(path: string, before: ReadonlyMap<string, number>) {
    this.#path = path;
    this.#before = before;
  }

  static async read(path: string, nowMs: number): Promise<FirstSeen> {
    try {
      const value = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>;
      const times = Object.entries(value).filter(
        (one): one is [string, number] => typeof one[1] === 'number' && one[1] <= nowMs,
      );
      return new FirstSeen(path, new Map(times));
    } catch {
      return new FirstSeen(path, new Map());
    }
  }

  /** When this was seen first, which may be now. */
  of(thing: string, nowMs: number): number {
    const seenAtMs = this.#before.get(thing) ?? nowMs;
    this.#now.set(thing, seenAtMs);
    return seenAtMs;
  }

  /** Remembers what was asked for, and forgets the rest, which is gone. */
  async write(): Promise<void> {
    if (this.#now.size === 0 && this.#before.size === 0) return;
    const draft = `${this.#path}.${randomUUID()}`;
    await writeFile(draft, JSON.stringify(Object.fromEntries(this.#now)), { mode: 0o600 });
    await rename(draft, this.#path);
  }
}
