// The masker of one job: all its secrets, and the streams they are masked in.
//
// What it promises. Every registered value is hidden, in each of the forms of `forms.ts`, in
// everything that passes a stream afterwards; what a stream already gave out cannot be taken back.
// Regions of forms that overlap or touch become one `***` (as GitHub's runner merges them).
// A value that cannot be masked is an error, never a value that stays visible. Three exceptions, by
// rule: blank values, values of asterisks and white space only (their mask would be themselves), and
// short encodings (`limits.ts`).
//
// No registered form appears in the output of a stream, also not made by a mask beside other bytes;
// the one exception is a form with asterisks whose other parts are all shorter than
// `minDerivedFormBytes` (`coreBesideAsterisks`): such a form is never copied, but `***` beside the
// right bytes may look like it.

import { binaryString, secretForms } from './forms.ts';
import { maxTableStates, maxValueBytes } from './limits.ts';
import { MaskStream } from './mask-stream.ts';
import { MaskingError } from './masking-error.ts';
import { SecretTable } from './secret-table.ts';

export interface SecretMaskerOptions {
  /** States the table may grow to, about 26 bytes each; at most (and by default) `maxTableStates`. */
  readonly maxStates?: number;
}

export class SecretMasker {
  readonly #table: SecretTable;
  readonly #values = new Set<string>();

  constructor(options: SecretMaskerOptions = {}) {
    this.#table = new SecretTable(Math.min(options.maxStates ?? maxTableStates, maxTableStates));
  }

  /**
   * Registers a value with all its forms, for all streams of this masker, from their next call on
   * (bytes they hold back included).
   * @throws MaskingError: the value is then not, or only partly, masked; let no output pass.
   */
  add(value: string | Uint8Array): void {
    if (value.length > maxValueBytes) throw tooLarge();
    const bytes = binaryString(value);
    if (bytes.length > maxValueBytes) throw tooLarge();
    if (this.#values.has(bytes)) return;
    for (const form of secretForms(bytes)) this.#table.add(form);
    this.#values.add(bytes);
  }

  /** A new stream. Streams are independent of each other and share the table. */
  stream(): MaskStream {
    return new MaskStream(this.#table);
  }

  /** A whole text with its secrets masked; the same string if it holds none. */
  maskText(text: string): string {
    const stream = this.stream();
    const head = stream.push(new TextEncoder().encode(text));
    const tail = stream.flush();
    if (stream.maskedRegions === 0) return text;
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    return decoder.decode(head, { stream: true }) + decoder.decode(tail);
  }

  /** Whether any form of any registered value occurs in it. */
  containsSecret(value: string | Uint8Array): boolean {
    const stream = this.stream();
    stream.push(typeof value === 'string' ? new TextEncoder().encode(value) : value);
    stream.flush();
    return stream.maskedRegions > 0;
  }
}

function tooLarge(): MaskingError {
  return new MaskingError(
    'masking_value_too_large',
    `A value to mask is longer than ${maxValueBytes} bytes, so it would stay visible. Mask the ` +
      `secret parts of it instead of the whole.`,
  );
}
