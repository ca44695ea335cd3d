/**
 * Secrets as `NAME=value` lines, the way shells and dotenv files write them. A line that is none of
 * it is refused with its number and never repeated: it may be the rest of a secret.
 *
 *     # a comment                      export NAME=value     (the word export says nothing)
 *     NAME=value # a comment           NAME='as it is'
 *     NAME="several lines, \n too"     NAME=`as it is`
 */
import { CliError } from '../errors.ts';

const LINE = /^\s*(?:export\s+)?([^=\s#'"`]+)\s*=[^\S\n]*(.*)$/;
const NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/;
const QUOTES = ['"', "'", '`'];

/** @param file only names the place in messages */
export function parseSecrets(file: string, text: string): Record<string, string> {
  const secrets: Record<string, string> = {};
  const lines = text
    .replace(/^\uFEFF/, '')
    .replaceAll(/\r\n?/g, '\n')
    .split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at] ?? '';
    if (/^\s*(#|$)/.test(line)) continue;
    const refuse = (what: string): CliError =>
      new CliError('file_unreadable', `--secret-file ${file}:${at + 1}: ${what}`);
    const [, name = '', rest = ''] = LINE.exec(line) ?? [];
    if (!NAME.test(name)) {
      throw refuse(
        'this line is no NAME=value, with a name of letters, digits, "_" and "-" that does not ' +
          'begin with a digit. A value of several lines goes in double quotes.',
      );
    }
    const quote = QUOTES.find((one) => rest.startsWith(one));
    if (quote === undefined) {
      secrets[name] = rest.replace(/(^|\s)#.*$/, '').trim();
      continue;
    }
    const last = lines.findIndex(
      (one, index) => index >= at && (index > at ? one : rest.slice(1)).includes(quote),
    );
    if (last < 0) throw refuse(`the value of ${name} begins with ${quote} and has no other one.`);
    const whole = [rest.slice(1), ...lines.slice(at + 1, last + 1)].join('\n');
    const end = whole.indexOf(quote);
    if (!/^\s*(#.*)?$/.test(whole.slice(end + 1))) {
      throw refuse(`the value of ${name} goes on after its closing ${quote}.`);
    }
    const value = whole.slice(0, end);
    secrets[name] = quote === '"' ? value.replaceAll('\\n', '\n') : value;
    at = last;
  }
  return secrets;
}
