/** At most so many characters, without NUL and without half a character. */
export function clip(text: string, characters: number): string {
  return text.slice(0, characters).toWellFormed().replaceAll('\0', '\ufffd');
}
