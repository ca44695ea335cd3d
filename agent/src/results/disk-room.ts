/**
 * The room that uploads may take on the host's disk. What an upload announced and did not write yet is
 * taken already: uploads at once do not count on the same bytes. The rest of the disk is others', who
 * say nothing; so a long upload looks again on its way.
 *
 *     take -> landed ... landed -> disposed: what did not come is free again
 */
import { HOST_FREE_BYTES } from '../limits.ts';
import { ROOM_LOOK_BYTES } from './limits.ts';
import { ResultsRefused } from './refused.ts';

/** The room of one body. */
export interface TakenRoom extends Disposable {
  /** So many of its bytes are on the disk now. Throws `out_of_range`: others took what was left. */
  readonly landed: (bytes: number) => Promise<void>;
}

export class DiskRoom {
  readonly #freeBytes: () => Promise<number>;
  /** Announced by all uploads, and not written. */
  #unwrittenBytes = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(freeBytes: () => Promise<number>) {
    this.#freeBytes = freeBytes;
  }

  /** @throws ResultsRefused `out_of_range` */
  async take(bytes: number): Promise<TakenRoom> {
    // One after the other: between the look and the taking nobody else takes.
    const taking = this.#last.then(async () => {
      await this.expect(bytes);
      this.#unwrittenBytes += bytes;
    });
    this.#last = taking.catch(() => {});
    await taking;
    let left = bytes;
    let unseen = 0;
    const giveBack = (some: number): void => {
      left -= some;
      this.#unwrittenBytes -= some;
    };
    return {
      landed: async (some) => {
        giveBack(Math.min(some, left));
        unseen += some;
        if (unseen < ROOM_LOOK_BYTES) return;
        unseen = 0;
        await this.expect(0);
      },
      [Symbol.dispose]: () => giveBack(left),
    };
  }

  /** Throws `out_of_range` where so many bytes more have no room. */
  async expect(bytes: number): Promise<void> {
    // Read before the disk is: what lands meanwhile counts twice, never not at all.
    const takenBytes = this.#unwrittenBytes + bytes;
    if ((await this.#freeBytes()) - takenBytes >= HOST_FREE_BYTES) return;
    throw new ResultsRefused('out_of_range', 'The disk of the host is full. Tell its operator.');
  }
}
