/**
 * Addresses that stand for names, for programs that know no proxy: they look a name up, connect to what
 * they are told, and the connection is asked for by its name. The range is 198.18.0.0/15 (RFC 2544,
 * "benchmarking"), which is never routed. Promise: a name keeps its address for the life of the
 * machine; an address is never given to another name.
 */
import { MADE_UP_ADDRESSES } from '../limits.ts';

/** The first ones of the range stay free: 198.18.0.0 is its name. */
const FIRST = 256;

export class MadeUpAddresses {
  readonly #byName = new Map<string, string>();
  readonly #byAddress = new Map<string, string>();

  /** @returns undefined: there are none left */
  addressOf(name: string): string | undefined {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const count = this.#byName.size;
    if (count >= MADE_UP_ADDRESSES) return undefined;
    const at = FIRST + count;
    const address = `198.${18 + (at >> 16)}.${(at >> 8) & 0xff}.${at & 0xff}`;
    this.#byName.set(name, address);
    this.#byAddress.set(address, name);
    return address;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** @returns undefined: it stands for no name */
  nameOf(address: string): string | undefined {
    return this.#byAddress.get(address);
  }
}

/** Whether the address is of the range, whether or not it stands for a name. */
export const isMadeUp = (address: string): boolean => /^198\.1[89]\./.test(address);
