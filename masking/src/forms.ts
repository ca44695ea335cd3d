// The ways a secret is written in a log: from one value, every byte string that has to be masked.
//
// All work is on binary strings (one character is one byte, 0..255), so that values which are not
// UTF-8 are treated like any other. Pure; regular expressions only, no tables at load time.
//
// From the value come its variants: as given, trimmed, without its double quotes, with \n and with
// \r\n line ends, and each line. Each variant is written plain, in base64, and in the escapings of
// URLs, workflow commands, JSON, shells, XML and expression strings.
//
// Not covered: base64 wrapped over several lines (only its unwrapped parts could match), mixed-case
// percent escapes (`%2f%3D`), and compressed or encrypted output.

import { minDerivedFormBytes } from './limits.ts';

type Encoding = (variant: string) => string;

/**
 * All forms of one value, as binary strings without duplicates. Empty for a blank value, and for one
 * made of asterisks only: its mask is itself.
 */
export function secretForms(value: string): Set<string> {
  const forms = new Set<string>();
  for (const variant of variantsOf(value)) {
    forms.add(variant);
    for (const encode of encodings) addDerived(forms, encode(variant), variant);
    for (const form of base64Forms(variant)) addDerived(forms, form, variant);
  }
  for (const form of forms) {
    const core = coreBesideAsterisks(form);
    if (core !== undefined) forms.add(core);
  }
  return forms;
}

/** The bytes of a string or byte array, as a binary string. */
export function binaryString(value: string | Uint8Array): string {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
  let text = '';
  for (let from = 0; from < bytes.length; from += 4096) {
    text += String.fromCharCode(...bytes.subarray(from, from + 4096));
  }
  return text;
}

function addDerived(forms: Set<string>, form: string, variant: string): void {
  if (form !== variant && form.length >= minDerivedFormBytes) forms.add(form);
}

function variantsOf(value: string): Set<string> {
  const variants = new Set<string>();
  const trimmed = trim(value);
  const lines = trimmed.split(/\r\n|\n|\r/);
  const wholes = [value, trimmed, lines.join('\n'), lines.join('\r\n')];
  for (const variant of [...wholes, ...lines.map(trim)]) {
    if (!isIdle(variant)) variants.add(variant);
  }
  const unquoted = /^"(.*)"$/s.exec(trimmed)?.[1] ?? '';
  if (unquoted.length >= minDerivedFormBytes && !isIdle(unquoted)) variants.add(unquoted);
  return variants;
}

/** ASCII white space only: a byte above 127 may be part of a character. */
function trim(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && isSpace(text.charCodeAt(from))) from++;
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isSpace(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13);
}

function isIdle(variant: string): boolean {
  return /^[* \t-\r]*$/.test(variant);
}

/**
 * What must be masked beside a form so that the mask itself can never complete it in the output. An
 * occurrence of a form that includes a byte of a mask needs a form that begins or ends with an
 * asterisk or holds three of them; its longest part between those does not, so masking that part
 * everywhere keeps the form out. No part of `minDerivedFormBytes`: undefined, and the form is only
 * kept from being copied, not from being made by a mask beside the right bytes.
 */
export function coreBesideAsterisks(form: string): string | undefined {
  if (!form.includes('*') || !/^\*|\*$|\*\*\*/.test(form)) return undefined;
  let longest = '';
  for (const part of form.split(/\*{3,}/)) {
    const core = part.replace(/^\*+/, '').replace(/\*+$/, '');
    if (core.length > longest.length) longest = core;
  }
  return longest.length >= minDerivedFormBytes ? longest : undefined;
}

/**
 * Base64 at the three alignments a value can have inside a longer text. The characters that hold
 * only bits of the value are always the same: the middle. Where the text ends with the value, the
 * last partial character and the padding are known too.
 */
function base64Forms(variant: string): string[] {
  const forms: string[] = [];
  for (let shift = 0; shift < 3; shift++) {
    const encoded = btoa('\0'.repeat(shift) + variant);
    const first = Math.ceil((shift * 8) / 6);
    const middle = encoded.slice(first, Math.floor(((shift + variant.length) * 8) / 6));
    if (middle.length < minDerivedFormBytes) continue;
    const padded = encoded.slice(first);
    for (const form of [middle, padded.replace(/=+$/, ''), padded]) {
      forms.push(form, form.replaceAll('+', '-').replaceAll('/', '_'));
    }
  }
  return forms;
}

function hex(byte: number, digits: number): string {
  return byte.toString(16).padStart(digits, '0');
}

function percent(unsafe: RegExp, space = '%20'): Encoding[] {
  const upper: Encoding = (variant) =>
    variant.replace(unsafe, (c) =>
      c === ' ' ? space : `%${hex(c.charCodeAt(0), 2).toUpperCase()}`,
    );
  const lower: Encoding = (variant) =>
    variant.replace(unsafe, (c) => (c === ' ' ? space : `%${hex(c.charCodeAt(0), 2)}`));
  return [upper, lower];
}

const urlEncodings: Encoding[] = [
  ...percent(/[^A-Za-z0-9\-_.!~*'()]/g), // encodeURIComponent
  ...percent(/[^A-Za-z0-9\-_.~]/g), // RFC 3986, curl, Go, .NET
  ...percent(/[^A-Za-z0-9\-_.~/]/g), // Python quote
  ...percent(/[^A-Za-z0-9\-_.!~*'();,/?:@&=+$#]/g), // encodeURI
  ...percent(/[^A-Za-z0-9*\-._]/g, '+'), // forms (WHATWG, Java)
  ...percent(/[^A-Za-z0-9\-._~]/g, '+'), // forms (Python, Go, PHP)
];

/** Workflow commands, as the toolkit writes them (@actions/core, command.ts). */
const commandEncodings: Encoding[] = [
  ...percent(/[%\r\n]/g), // the text
  ...percent(/[%\r\n:,]/g), // a property
];

const jsonShort: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\f': '\\f',
  '\r': '\\r',
};

function json(variant: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what JSON escapes
  return variant.replace(/["\\\0-\x1f]/g, (c) => jsonShort[c] ?? `\\u${hex(c.charCodeAt(0), 4)}`);
}

function jsonSlash(variant: string): string {
  return json(variant).replaceAll('/', '\\/');
}

/** Escapes all that is not ASCII by UTF-16 code unit; what is not UTF-8 stays as it is. */
function ascii(escaped: string): string {
  // oxlint-disable-next-line no-control-regex -- all of ASCII, control characters included
  if (/^[\0-\x7f]*$/.test(escaped)) return escaped;
  let text: string;
  try {
    const bytes = Uint8Array.from(escaped, (c) => c.charCodeAt(0));
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return escaped;
  }
  // oxlint-disable-next-line no-control-regex -- see above
  return text.replace(/[^\0-\x7f]/g, (c) => `\\u${hex(c.charCodeAt(0), 4)}`);
}

function upperUnicode(escaped: string): string {
  return escaped.replace(/\\u[0-9a-f]{4}/g, (code) => `\\u${code.slice(2).toUpperCase()}`);
}

function unicode(escaped: string, characters: RegExp): string {
  return escaped.replace(characters, (c) => `\\u${hex(c.charCodeAt(c.length - 1), 4)}`);
}

const jsonEncodings: Encoding[] = [
  json, // JSON.stringify, jq
  jsonSlash,
  (variant) => ascii(json(variant)), // Python
  (variant) => upperUnicode(ascii(json(variant))),
  (variant) => ascii(jsonSlash(variant)), // PHP
  (variant) => unicode(json(variant), /[<>&]/g), // Go
  (variant) => upperUnicode(ascii(unicode(json(variant), /[<>&'+`]|\\"/g))), // System.Text.Json
];

const ansiShort: Record<string, string> = {
  '\\': '\\\\',
  "'": "\\'",
  '\x07': '\\a',
  '\b': '\\b',
  '\t': '\\t',
  '\n': '\\n',
  '\v': '\\v',
  '\f': '\\f',
  '\r': '\\r',
  '\x1b': '\\E',
};

function ansiC(variant: string, special: RegExp): string {
  return variant.replace(
    special,
    (c) => ansiShort[c] ?? `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}

const shellEncodings: Encoding[] = [
  (variant) => variant.replaceAll("'", "'\\''"), // single quotes: `set -x`, ${v@Q}
  (variant) => variant.replaceAll("'", `'"'"'`), // single quotes, as Python's shlex writes them
  (variant) => variant.replace(/[ \t-\r!"$&'()*,;<>?[\\\]^`{|}]|(?<=[:=])~/g, '\\$&'), // printf %q
  // oxlint-disable-next-line no-control-regex -- $'..' exists for control characters
  (variant) => ansiC(variant, /[\\'\0-\x1f\x7f]/g), // $'..' in a UTF-8 locale
  // oxlint-disable-next-line no-control-regex -- see above
  (variant) => ansiC(variant, /[\\'\0-\x1f\x7f-\xff]/g), // $'..' in the C locale
  (variant) => variant.replace(/["\\$`]/g, '\\$&'), // double quotes
  (variant) => variant.replaceAll('"', '\\"'), // quotes only, as many programs do
];

function xml(variant: string, map: Record<string, string>): string {
  return variant.replace(/[&<>"']/g, (c) => map[c] ?? c);
}

const xmlText = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };
const xmlQuoted = { ...xmlText, '"': '&quot;' };

const xmlEncodings: Encoding[] = [
  (variant) => xml(variant, xmlText),
  (variant) => xml(variant, xmlQuoted),
  (variant) => xml(variant, { ...xmlQuoted, "'": '&apos;' }), // .NET, Java
  (variant) => xml(variant, { ...xmlQuoted, "'": '&#39;' }), // most template engines
  (variant) => xml(variant, { ...xmlQuoted, "'": '&#x27;' }), // Python
  (variant) => xml(variant, { ...xmlText, '"': '&#34;', "'": '&#39;' }), // Go
];

const encodings: Encoding[] = [
  ...urlEncodings,
  ...commandEncodings,
  ...jsonEncodings,
  ...shellEncodings,
  ...xmlEncodings,
  (variant) => variant.replaceAll("'", "''"), // strings in workflow expressions, SQL, YAML
];
