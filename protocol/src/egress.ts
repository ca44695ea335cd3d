/**
 * What a job may reach, as operators and workflows write it: words with space between them.
 *
 *     audit      whatever the guard lets anybody reach
 *     none       nothing
 *     else an allow-list, of which one rule must fit:
 *       example.org               that name        *.example.org   every name below it, not itself
 *       93.184.215.0/24           addresses that are asked for as addresses; alone: one address
 *       2606:4700::/32            the same
 *       example.org:443   [2606:4700::/32]:443     that port only
 *
 * A policy only ever narrows what the guard lets anybody reach. Text that is not exactly this is a
 * problem, never a wider policy.
 */
import { EGRESS_POLICY_CHARACTERS, EGRESS_RULES } from './limits.ts';

/** The `env` entry of a workflow or a job that says it; other runners see a variable like others. */
export const EGRESS_KEY = 'ONEJOB_EGRESS';

/** `port` null: every port. */
export type EgressRule =
  /** `host` in lower case, without a trailing dot. */
  | { kind: 'name' | 'subdomains'; host: string; port: number | null }
  /** A CIDR range: an address, a slash and a number. */
  | { kind: 'range'; range: string; port: number | null };

export type EgressPolicy =
  | { mode: 'audit' }
  | { mode: 'none' }
  | { mode: 'allow-list'; rules: EgressRule[] };

const MODES = ['audit', 'none'] as const;
const NAME_CHARACTERS = 253;
const LABEL = /^[a-z0-9_-]{1,63}$/;
/** A name that ends so would be read as an address by some programs. */
const NUMERIC_LABEL = /^(?:[0-9]+|0x[0-9a-f]*)$/;
const OCTET = '(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])';
const IPV4 = new RegExp(`^${OCTET}(?:\\.${OCTET}){3}$`);
const IPV6_CHARACTERS = /^[0-9a-f:.]*:[0-9a-f:.]*$/i;
const NUMBER = /^(?:0|[1-9][0-9]{0,4})$/;

const isIpv6 = (text: string): boolean =>
  IPV6_CHARACTERS.test(text) && URL.canParse(`http://[${text}]/`);

/** @returns a problem as a clause that follows a colon, where the text is no policy */
export function parseEgressPolicy(text: string): EgressPolicy | { problem: string } {
  if (text.length > EGRESS_POLICY_CHARACTERS) {
    return { problem: `it has more than ${EGRESS_POLICY_CHARACTERS} characters` };
  }
  const words = text.split(/[ \t\r\n]+/).filter((word) => word !== '');
  if (words.length === 0) return { problem: 'it is empty; write audit, none, or what is allowed' };
  const mode = MODES.find((one) => words.includes(one));
  if (mode !== undefined) {
    return words.length === 1 ? { mode } : { problem: `"${mode}" stands alone` };
  }
  if (words.length > EGRESS_RULES) return { problem: `it has more than ${EGRESS_RULES} rules` };
  const rules: EgressRule[] = [];
  for (const word of words) {
    const rule = parseRule(word);
    if (rule === undefined) return { problem: problemOf(word) };
    rules.push(rule);
  }
  return { mode: 'allow-list', rules };
}

const problemOf = (word: string): string =>
  `${JSON.stringify(word.slice(0, 100))} is none of audit, none, a name (example.org), the names below ` +
  'one (*.example.org) and a range (93.184.215.0/24), these with :port for one port only';

function parseRule(word: string): EgressRule | undefined {
  const { place, portText, isBracketed } = splitPort(word);
  const port = portText === undefined ? null : Number(portText);
  if (portText !== undefined && !NUMBER.test(portText)) return undefined;
  if (port !== null && (port < 1 || port > 65_535)) return undefined;
  const range = readRange(place, isBracketed);
  if (range !== undefined) return { kind: 'range', range, port };
  if (isBracketed) return undefined;
  const isWild = place.startsWith('*.');
  const host = readName(isWild ? place.slice(2) : place);
  if (host === undefined || (!isWild && !host.includes('.'))) return undefined;
  return { kind: isWild ? 'subdomains' : 'name', host, port };
}

/** Two colons or more are an address of IPv6, whose port needs brackets before it. */
function splitPort(word: string): { place: string; portText?: string; isBracketed: boolean } {
  const bracketed = /^\[([^[\]]*)\](?::(.*))?$/.exec(word);
  if (bracketed !== null) {
    const [, place = '', portText] = bracketed;
    return { place, ...(portText === undefined ? {} : { portText }), isBracketed: true };
  }
  const [place = '', portText, ...more] = word.split(':');
  if (portText === undefined || more.length > 0) return { place: word, isBracketed: false };
  return { place, portText, isBracketed: false };
}

function readRange(text: string, isBracketed: boolean): string | undefined {
  const [address = '', bits, ...more] = text.split('/');
  const width = isIpv6(address) ? 128 : IPV4.test(address) && !isBracketed ? 32 : undefined;
  if (width === undefined || more.length > 0) return undefined;
  if (bits === undefined) return `${address}/${width}`;
  return NUMBER.test(bits) && Number(bits) <= width ? text : undefined;
}

function readName(text: string): string | undefined {
  const lower = text.toLowerCase();
  const host = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  const labels = host.split('.');
  // Lower case maps some other scripts' letters into ASCII.
  const isPlain = /^[\x21-\x7e]*$/.test(text) && host.length <= NAME_CHARACTERS;
  if (!isPlain || !labels.every((label) => LABEL.test(label))) return undefined;
  return NUMERIC_LABEL.test(labels.at(-1) ?? '') ? undefined : host;
}
