/**
 * How many cells of a terminal a text fills. Graphemes of East Asian width "wide" and emoji fill
 * two (UAX #11, UTS #51), marks that combine fill none of their own.
 */
import { stripVTControlCharacters } from 'node:util';

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });
const PLAIN = /^[\x20-\x7e]*$/;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|\ufe0f|[\u{20000}-\u{3fffd}]/u;
const INVISIBLE = /^[\p{Mark}\p{Cf}\p{Cc}]+$/u;

function graphemeCells(grapheme: string): number {
  if (INVISIBLE.test(grapheme)) return 0;
  return WIDE.test(grapheme) ? 2 : 1;
}

/** Colour sequences fill nothing. */
export function cells(text: string): number {
  const plain = stripVTControlCharacters(text);
  if (PLAIN.test(plain)) return plain.length;
  let sum = 0;
  for (const { segment } of segmenter.segment(plain)) sum += graphemeCells(segment);
  return sum;
}

/** At most `limit` cells of a text without colour sequences, `…` where something is left out. */
export function fit(text: string, limit: number): string {
  if (cells(text) <= limit) return text;
  let kept = '';
  let used = 0;
  for (const { segment } of segmenter.segment(text)) {
    const more = graphemeCells(segment);
    if (used + more > limit - 1) break;
    kept += segment;
    used += more;
  }
  return `${kept}…`;
}
