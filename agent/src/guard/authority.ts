/**
 * Reads the authority of a CONNECT (RFC 9113, section 8.5): `host:port`, where the host is a DNS
 * name, a dotted IPv4 address or an IPv6 address in brackets.
 *
 * Promise: text goes in, and what comes out has exactly one reading. A host that programs read in
 * different ways (2130706433, 0x7f.1, 010.8.8.8, fe80::1%eth0, percent escapes, other scripts) never
 * comes out as a name. Nothing here does I/O.
 */
import { isIPv4, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { LABEL_CHARACTERS, MALFORMED_HOST_CHARACTERS, NAME_CHARACTERS } from './limits.ts';

export type Target =
  /** Lower case, no trailing dot; never anything that a program could read as an address. */
  | { kind: 'name'; host: string; port: number }
  /** `host` is the address in its canonical text form (RFC 5952 for IPv6), without brackets. */
  | { kind: 'address'; host: string; port: number }
  /** IPv4 written as only some programs read it; `address` is what the C library makes of it. */
  | { kind: 'unusual-address'; host: string; port: number; address: string }
  /** `host` is for the record only: escaped and cut. */
  | { kind: 'malformed'; host: string; port: number; problem: string };

const AUTHORITY = /^(\[[^[\]]*\]|[^:[\]]*):([0-9]+)$/;
const PORT = /^[1-9][0-9]{0,4}$/;
const LABEL = new RegExp(`^[a-z0-9_-]{1,${LABEL_CHARACTERS}}$`);
/** A label that a reader of IPv4 addresses takes for a number (URL standard, "ends in a number"). */
const NUMERIC_LABEL = /^(?:[0-9]+|0x[0-9a-f]*)$/;
/** An A-label whose decoded form is plain ASCII: no registry has it, decoders turn it into another name. */
const FALSE_A_LABEL = /^xn--(?:.*-)?$/;

/** Printable ASCII only, at most `limit` characters: fit for a header, a log and a table. */
export function printable(text: string, limit: number): string {
  const escaped = text
    .slice(0, limit)
    .replace(/[^\x20-\x7e]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return escaped.length > limit || text.length > limit
    ? `${escaped.slice(0, Math.max(0, limit - 3))}...`
    : escaped;
}

export function parseAuthority(authority: string): Target {
  const malformed = (problem: string, port = 0): Target => ({
    kind: 'malformed',
    host: printable(authority, MALFORMED_HOST_CHARACTERS),
    port,
    problem,
  });
  // Names, brackets, colon and port together; what is longer is not even looked at.
  if (authority.length > NAME_CHARACTERS + 1 + 6) return malformed('it is too long');
  const [, host, portText] = AUTHORITY.exec(authority) ?? [];
  if (host === undefined || portText === undefined) return malformed('it is not host:port');
  const port = PORT.test(portText) ? Number(portText) : 0;
  if (port < 1 || port > 65_535) return malformed('the port is not a number from 1 to 65535');
  if (host.startsWith('[')) {
    const inner = host.slice(1, -1);
    if (!isIPv6(inner) || inner.includes('%')) {
      return malformed('there is no plain IPv6 address in the brackets', port);
    }
    return { kind: 'address', host: ipaddr.IPv6.parse(inner).toRFC5952String(), port };
  }
  return parseHost(host, port, malformed);
}

function parseHost(
  text: string,
  port: number,
  malformed: (problem: string, port: number) => Target,
): Target {
  const lower = text.toLowerCase();
  const host = lower.endsWith('.') ? lower.slice(0, -1) : lower;
  if (isIPv4(host)) return { kind: 'address', host, port };
  if (host.length > NAME_CHARACTERS) {
    return malformed(`the name has more than ${NAME_CHARACTERS} characters`, port);
  }
  const labels = host.split('.');
  // A letter that lower case maps into ASCII (the Kelvin sign) must not slip through as that letter.
  if (!/^[\x21-\x7e]*$/.test(text) || !labels.every((label) => LABEL.test(label))) {
    return malformed(
      `a name is made of letters, digits, "-" and "_" in parts of 1 to ${LABEL_CHARACTERS}; ` +
        'other scripts are written in their xn-- form',
      port,
    );
  }
  if (NUMERIC_LABEL.test(labels.at(-1)!)) {
    return ipaddr.IPv4.isValid(host)
      ? { kind: 'unusual-address', host, port, address: ipaddr.IPv4.parse(host).toString() }
      : malformed('it ends in a number and is not an IPv4 address', port);
  }
  if (labels.some((label) => FALSE_A_LABEL.test(label))) {
    return malformed('it has an xn-- part that stands for plain letters', port);
  }
  return { kind: 'name', host, port };
}
