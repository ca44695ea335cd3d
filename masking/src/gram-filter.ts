// The fast path: finds where in a text a form may begin, looking at every k-th place only.
//
// All forms have at least `shortest` bytes. With grams of q bytes and a stride of
// k = shortest - q + 1, any occurrence that begins in the k places up to p holds the gram at p
// completely, at one of its first k offsets. So it is enough to look up the grams at p, p + k,
// p + 2k, ... in a table of the grams at the first k offsets of all forms. The table is a hash
// without chains: it may say "maybe" wrongly, never "no" wrongly.
//
// The table is built when it is first asked, and again when a shorter form or many forms came.

/** With the longest stride a look-up costs less than reading; more would only fill the table. */
const maxStride = 8;
const maxGramBytes = 4;
const headBytes = maxStride + maxGramBytes - 1;

/** Entries of the table; the lower bound fits the first-level cache, the upper the second. */
const minTableBits = 15;
const maxTableBits = 20;
/** Table entries for each gram: at 1 in 64 a wrong "maybe" costs less than the look-ups. */
const entriesPerGram = 64;

export class GramFilter {
  /** Bytes of a gram and distance of the places looked at; valid after `prepare`. */
  gramBytes = maxGramBytes;
  stride = 1;

  #heads: string[] = [];
  #shortest = Number.POSITIVE_INFINITY;
  #table = new Uint8Array(0);
  #shift = 0;
  #inTable = 0;
  #plannedHeads = 0;

  /** Adds a form, a binary string. Only its first bytes are kept. */
  add(form: string): void {
    this.#heads.push(form.slice(0, headBytes));
    if (form.length < this.#shortest) {
      this.#shortest = form.length;
      this.#plannedHeads = 0;
    }
  }

  /** Brings the table up to date with the forms added. Call before `next`. */
  prepare(): void {
    if (this.#inTable === this.#heads.length && this.#plannedHeads > 0) return;
    if (this.#heads.length > this.#plannedHeads) this.#plan();
    for (; this.#inTable < this.#heads.length; this.#inTable++) {
      this.#enter(this.#heads[this.#inTable]!);
    }
  }

  /**
   * The first of the places `from`, `from + stride`, ... up to `last` (inclusive; `gramBytes` must
   * be readable there) whose gram may be one of a form; the first place after `last` if none.
   */
  next(bytes: Uint8Array, from: number, last: number): number {
    const table = this.#table;
    const shift = this.#shift;
    const stride = this.stride;
    let at = from;
    if (this.gramBytes === 4) {
      for (; at <= last; at += stride) {
        const gram =
          bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
        if (table[Math.imul(gram, 0x9e3779b1) >>> shift] !== 0) break;
      }
    } else {
      for (; at <= last; at += stride) {
        const gram = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
        if (table[Math.imul(gram, 0x9e3779b1) >>> shift] !== 0) break;
      }
    }
    return at;
  }

  /** Chooses gram, stride and size for twice the forms there are, and empties the table. */
  #plan(): void {
    this.#plannedHeads = Math.max(64, this.#heads.length * 2);
    this.gramBytes = this.#shortest >= 5 ? 4 : 3;
    this.stride = Math.min(Math.max(this.#shortest - this.gramBytes + 1, 1), maxStride);
    const wanted = Math.ceil(Math.log2(this.#plannedHeads * this.stride * entriesPerGram));
    const bits = Math.min(Math.max(wanted, minTableBits), maxTableBits);
    this.#table = new Uint8Array(2 ** bits);
    this.#shift = 32 - bits;
    this.#inTable = 0;
  }

  #enter(head: string): void {
    for (let offset = 0; offset < this.stride; offset++) {
      const known = Math.min(this.gramBytes, head.length - offset);
      let gram = 0;
      for (let i = 0; i < known; i++) gram |= head.charCodeAt(offset + i) << (i * 8);
      this.#mark(gram, known);
    }
  }

  /** Forms shorter than a gram: whatever follows them is a match too. */
  #mark(gram: number, known: number): void {
    if (known === this.gramBytes) {
      this.#table[Math.imul(gram, 0x9e3779b1) >>> this.#shift] = 1;
      return;
    }
    for (let byte = 0; byte < 256; byte++) this.#mark(gram | (byte << (known * 8)), known + 1);
  }
}
