/**
 * Masks the rows of a job's log a second time, as the text they are parts of: a secret may lie over
 * several rows, because it has several lines or because the runner cut a long line.
 *
 * A row is given back as soon as no secret can be under way in it. Rows are never joined or dropped,
 * their places in the log are counted: where a secret lies over more than one, all rows that were
 * held for it become `***`.
 */
import type { MaskStream, SecretMasker } from '@onejob/masking';
import { LOG_ROW_BYTES, type LogRow } from '@onejob/protocol';
import { ROW_GROUP_BYTES } from '../limits.ts';

/** A row of this size may be the part of a longer line: the cut keeps UTF-8 sequences whole. */
const CUT_ROW_BYTES = LOG_ROW_BYTES - 3;
const HIDDEN = '***';
const encoder = new TextEncoder();

type Held = { row: LogRow; masked: string; separator: string };

export class RowMask {
  readonly #masker: SecretMasker;
  readonly #stream: MaskStream;
  #held: Held[] = [];
  #heldBytes = 0;
  /** What the stream gave for the rows held. */
  #given: Uint8Array[] = [];

  constructor(masker: SecretMasker) {
    this.#masker = masker;
    this.#stream = masker.stream();
  }

  /** Takes the next row; gives those that are decided, in order. */
  push(row: LogRow): LogRow[] {
    const decided = this.#held[0]?.row.step === row.step ? [] : this.flush();
    const bytes = encoder.encode(row.text);
    const separator = bytes.length < CUT_ROW_BYTES ? '\n' : '';
    this.#held.push({ row, masked: this.#masker.maskText(row.text), separator });
    this.#heldBytes += bytes.length;
    this.#take(this.#stream.push(bytes));
    this.#take(this.#stream.push(encoder.encode(separator)));
    if (this.#stream.heldBytes > 0 && this.#heldBytes < ROW_GROUP_BYTES) return decided;
    return [...decided, ...this.flush()];
  }

  /** No row follows, or none that belongs to these: gives all that are held. */
  flush(): LogRow[] {
    this.#take(this.#stream.flush());
    const asOneText = Buffer.concat(this.#given).toString('utf8');
    const rowByRow = this.#held.map(({ masked, separator }) => masked + separator).join('');
    const isWithinRows = asOneText === rowByRow;
    const rows = this.#held.map(({ row, masked }) => ({
      ...row,
      text: isWithinRows ? masked : HIDDEN,
    }));
    this.#held = [];
    this.#heldBytes = 0;
    this.#given = [];
    return rows;
  }

  /** The stream may give a part of what it was given: kept as it is, since nobody writes to it. */
  #take(given: Uint8Array): void {
    if (given.length > 0) this.#given.push(given);
  }
}
