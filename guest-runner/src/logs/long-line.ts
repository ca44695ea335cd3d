/**
 * Looks at a line that is too long to be held, piece by piece, for one thing: whether it adds a mask.
 * Its value would be printed with the rest of the line, so nothing of it may be shown.
 *
 *     white space -> `::add-mask ` or `::add-mask::`: yes      anything else -> text
 *     text        -> `##[add-mask]` or `##[add-mask `: yes     another `##[` -> no (the first one counts)
 *
 * `text` may be a newer command of another name, which no older one counts in: what is in doubt is
 * not shown.
 *
 * Promise: however the line is cut, the answer comes with the piece that decides it, before the value.
 */
const NEWER = ['::add-mask ', '::add-mask::'];
const OLDER = ['##[add-mask ', '##[add-mask]'];
const OLDER_SIGN = '##[';
/** Bytes above ASCII may be white space of several bytes: who is in doubt looks further. */
const BLANKS = /^[\s\x80-\xff]+/;

const begins = (text: string, wanted: string[]): boolean =>
  wanted.some((one) => text.toLowerCase().startsWith(one));
const mayBegin = (text: string, wanted: string[]): boolean =>
  wanted.some((one) => one.startsWith(text.toLowerCase()));

export class LongLine {
  /** Nothing more of it is shown. */
  isDropped = false;
  private place: 'blanks' | 'text' | 'over' = 'blanks';
  /** The beginning of what is looked for, at the end of the last piece. */
  private rest = '';

  /** Takes the next piece. True: the line adds a mask. */
  isMask(piece: Buffer): boolean {
    if (this.place === 'over') return false;
    const text = this.rest + piece.toString('latin1');
    this.rest = '';
    return this.place === 'blanks' ? this.newer(text.replace(BLANKS, '')) : this.older(text);
  }

  private newer(text: string): boolean {
    if (begins(text, NEWER)) return this.found();
    if (mayBegin(text, NEWER)) this.rest = text;
    else this.place = 'text';
    return this.place === 'text' && this.older(text);
  }

  private found(): true {
    this.place = 'over';
    return true;
  }

  private older(text: string): boolean {
    const at = text.indexOf(OLDER_SIGN);
    if (at < 0) {
      // One or two signs of the three may be the last of the piece.
      this.rest = /#{0,2}$/.exec(text)?.[0] ?? '';
      return false;
    }
    const found = text.slice(at, at + OLDER[0]!.length);
    if (begins(found, OLDER)) return this.found();
    if (mayBegin(found, OLDER)) this.rest = text.slice(at);
    else this.place = 'over';
    return false;
  }
}
