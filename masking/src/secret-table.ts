// The table of all forms of all secrets: a byte trie with Aho-Corasick failure links.
//
// It promises: forms can be added at any time in time linear to their length; `step` is amortized
// constant; growth is by doubling up to a stated number of states, then an error. State 0 is the
// root; a state stands for the bytes on its path, `depth` of them.
//
// Failure links are found when a scan first enters a state, and carry the generation in which they
// were found. Adding a form begins a new generation, in which all links are forgotten at once at no
// cost; only the states that the scan then really visits (mostly near the root) are linked again. So
// a job that masks one value after another does not pay for the whole table each time.
//
// Most states have one child. It is kept in `firstChild`; the further children of a state are in one
// open-addressing hash, keyed by state * 256 + byte.

import { GramFilter } from './gram-filter.ts';
import { MaskingError } from './masking-error.ts';

const terminal = 1;
const branching = 2;

/** Room for a job's own tokens: a table that grows is copied, which a job in an emulated machine waits for. */
const firstStates = 2 ** 14;
const firstBranches = 2 ** 12;

export class SecretTable {
  /** Changes whenever a form was added. Starts at 1. */
  generation = 1;
  /** Finds the places where a form may begin; holds the same forms as the table. */
  readonly filter = new GramFilter();

  readonly #maxStates: number;
  #states = 1;
  #firstChild = new Int32Array(firstStates);
  #parent = new Int32Array(firstStates);
  #depth = new Int32Array(firstStates);
  #failure = new Int32Array(firstStates);
  #linkedIn = new Int32Array(firstStates);
  #longest = new Int32Array(firstStates);
  #label = new Uint8Array(firstStates);
  #flags = new Uint8Array(firstStates);

  #branchKeys = new Int32Array(firstBranches);
  #branchChildren = new Int32Array(firstBranches);
  #branches = 0;
  readonly #rootChildren = new Int32Array(256);

  constructor(maxStates: number) {
    this.#maxStates = maxStates;
    this.#linkedIn[0] = this.generation;
  }

  get states(): number {
    return this.#states;
  }

  /** Bytes on the path to the state: how much of a form has been seen. */
  depth(state: number): number {
    return this.#depth[state]!;
  }

  /** Length of the longest form that ends here, 0 if none. Only for a state that `step` gave. */
  longest(state: number): number {
    return this.#longest[state]!;
  }

  /**
   * Adds one form (a binary string of at least one byte).
   * @throws MaskingError `masking_table_full`; the form is then not in the table.
   */
  add(form: string): void {
    let state = 0;
    for (let i = 0; i < form.length; i++) {
      const byte = form.charCodeAt(i);
      state = this.#child(state, byte) || this.#addChild(state, byte);
    }
    if ((this.#flags[state]! & terminal) !== 0) return;
    this.#flags[state]! |= terminal;
    this.filter.add(form);
    this.generation++;
    this.#linkedIn[0] = this.generation;
  }

  /** The state after one more byte: the longest end of the text that begins a form. */
  step(from: number, byte: number): number {
    let state = from;
    let next = this.#child(state, byte);
    while (next === 0 && state !== 0) {
      state = this.#failure[state]!;
      next = this.#child(state, byte);
    }
    if (this.#linkedIn[next] !== this.generation) this.#link(next);
    return next;
  }

  /** The same future with less past: what of a state that no form continues can still begin one. */
  open(from: number): number {
    let state = from;
    while (state !== 0 && this.#firstChild[state] === 0) state = this.#failure[state]!;
    return state;
  }

  #child(state: number, byte: number): number {
    if (state === 0) return this.#rootChildren[byte]!;
    const first = this.#firstChild[state]!;
    if (first === 0 || this.#label[first] === byte) return first;
    return (this.#flags[state]! & branching) === 0 ? 0 : this.#branchChild(state * 256 + byte);
  }

  #branchChild(key: number): number {
    const mask = this.#branchKeys.length - 1;
    let slot = slotOf(key) & mask;
    while (this.#branchChildren[slot] !== 0) {
      if (this.#branchKeys[slot] === key) return this.#branchChildren[slot]!;
      slot = (slot + 1) & mask;
    }
    return 0;
  }

  /**
   * Links a state: its failure state and the longest form ending in it. The failure state of a linked
   * state is linked. Parents need no care: a scan enters a state through its parent, and the parent
   * of a failure state is among the failure states of the parent. An explicit stack, as that chain
   * may be as long as a secret.
   */
  #link(target: number): void {
    const pending = [target];
    while (pending.length > 0) {
      const state = pending.at(-1)!;
      const failure = this.#failureOf(state, this.#parent[state]!);
      if (this.#linkedIn[failure] !== this.generation) {
        pending.push(failure);
        continue;
      }
      const ends = (this.#flags[state]! & terminal) !== 0;
      this.#failure[state] = failure;
      this.#longest[state] = ends ? this.#depth[state]! : this.#longest[failure]!;
      this.#linkedIn[state] = this.generation;
      pending.pop();
    }
  }

  #failureOf(state: number, parent: number): number {
    if (parent === 0) return 0;
    const byte = this.#label[state]!;
    let shorter = this.#failure[parent]!;
    let next = this.#child(shorter, byte);
    while (next === 0 && shorter !== 0) {
      shorter = this.#failure[shorter]!;
      next = this.#child(shorter, byte);
    }
    return next;
  }

  #addChild(parent: number, byte: number): number {
    if (this.#states === this.#maxStates) {
      throw new MaskingError(
        'masking_table_full',
        `The masks of this job need more than ${this.#maxStates} table states (all secrets and ` +
          `added masks together), so a value would stay visible. Register fewer or shorter values.`,
      );
    }
    if (this.#states === this.#firstChild.length) this.#grow();
    const child = this.#states++;
    this.#parent[child] = parent;
    this.#depth[child] = this.#depth[parent]! + 1;
    this.#label[child] = byte;
    if (parent === 0) this.#rootChildren[byte] = child;
    else if (this.#firstChild[parent] === 0) this.#firstChild[parent] = child;
    else this.#addBranch(parent, byte, child);
    return child;
  }

  #addBranch(parent: number, byte: number, child: number): void {
    this.#flags[parent]! |= branching;
    if (++this.#branches * 2 > this.#branchKeys.length) {
      const keys = this.#branchKeys;
      const children = this.#branchChildren;
      this.#branchKeys = new Int32Array(keys.length * 2);
      this.#branchChildren = new Int32Array(keys.length * 2);
      for (let i = 0; i < keys.length; i++) {
        if (children[i] !== 0) this.#putBranch(keys[i]!, children[i]!);
      }
    }
    this.#putBranch(parent * 256 + byte, child);
  }

  #putBranch(key: number, child: number): void {
    const mask = this.#branchKeys.length - 1;
    let slot = slotOf(key) & mask;
    while (this.#branchChildren[slot] !== 0) slot = (slot + 1) & mask;
    this.#branchKeys[slot] = key;
    this.#branchChildren[slot] = child;
  }

  #grow(): void {
    const size = Math.min(this.#firstChild.length * 2, this.#maxStates);
    this.#firstChild = grown(this.#firstChild, new Int32Array(size));
    this.#parent = grown(this.#parent, new Int32Array(size));
    this.#depth = grown(this.#depth, new Int32Array(size));
    this.#failure = grown(this.#failure, new Int32Array(size));
    this.#linkedIn = grown(this.#linkedIn, new Int32Array(size));
    this.#longest = grown(this.#longest, new Int32Array(size));
    this.#label = grown(this.#label, new Uint8Array(size));
    this.#flags = grown(this.#flags, new Uint8Array(size));
  }
}

function grown<T extends Int32Array | Uint8Array>(old: T, larger: T): T {
  larger.set(old);
  return larger;
}

/** Multiplicative hash; the shift brings the well mixed upper bits down. */
function slotOf(key: number): number {
  const product = Math.imul(key, 0x9e3779b1);
  return product ^ (product >>> 15);
}
