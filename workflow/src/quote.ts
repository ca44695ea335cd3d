/** Users' own text inside of messages: long enough to recognise it, never a whole file. */
import { QUOTED_CHARACTERS } from './limits.ts';

export const shortened = (text: string, characters: number): string =>
  text.length > characters ? `${text.slice(0, characters)}[...]` : text;

export const quoted = (text: string): string => shortened(text, QUOTED_CHARACTERS);
