/**
 * Reads inputs. Their values may be anybody's text (a title of a pull request, say): each becomes the
 * type it is needed as, or the action fails and names it.
 */
import { getInput, info } from '@actions/core';

/** Lines that are not empty, each without the space around it. */
export function linesOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** As the actions read numbers: the digits at the beginning decide. Undefined: it is empty. */
export function readInteger(name: string): number | undefined {
  const text = getInput(name);
  if (text === '') return undefined;
  const value = Number.parseInt(text, 10);
  if (Number.isSafeInteger(value)) return value;
  throw new Error(`Invalid ${name}`);
}

/** For the log. A value with line breaks cannot begin a line, where it could be a command. */
export function say(message: string): void {
  info(message.replaceAll(/\s*[\r\n]+\s*/g, ' '));
}
