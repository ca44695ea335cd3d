/**
 * What is configured of the network in our own network namespace: interfaces, routes and addresses of
 * both IP versions, policy rules, packet filter rules. Left out: what changes by itself (counters,
 * use counts, cached routes) and what a router announces, which comes and goes without us.
 */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { linesOf } from './lines.mjs';

const PROGRAM_DIRECTORIES = ['/usr/sbin', '/sbin', '/usr/bin', '/bin'];
/** RTF_DEFAULT, RTF_ADDRCONF (announced), RTF_EXPIRES and RTF_CACHE of linux/ipv6_route.h. */
const BY_ITSELF_FLAGS = 0x00010000 | 0x00040000 | 0x00400000 | 0x01000000;

/** @param {string} program */
const findProgram = (program) =>
  PROGRAM_DIRECTORIES.map((one) => path.join(one, program)).find(existsSync);

/** What a program of the system prints; no lines where it is not there or may not look. */
function outputOf(/** @type {string} */ program, /** @type {string[]} */ args) {
  const file = findProgram(program);
  if (file === undefined) return [];
  try {
    const text = execFileSync(file, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return text.split('\n').flatMap((line) => line.trim() || []);
  } catch {
    return [];
  }
}

/** @param {string[]} lines of /proc/net/ipv6_route */
export function parseIpv6Routes(lines) {
  return lines.flatMap((line) => {
    const [to, toBits, , , via, metric, , , flags, device] = line.trim().split(/\s+/);
    if (device === undefined || (Number.parseInt(flags, 16) & BY_ITSELF_FLAGS) !== 0) return [];
    return [`route ${to}/${Number.parseInt(toBits, 16)} by ${via} on ${device}, metric ${metric}`];
  });
}

export function readNetwork() {
  const interfaces = linesOf('/proc/net/dev')
    .slice(2)
    .map((line) => line.split(':')[0].trim());
  const routes = linesOf('/proc/net/route')
    .slice(1)
    .map((line) => {
      const [device, destination, gateway, , , , , mask] = line.split('\t');
      return `route ${destination}/${mask} by ${gateway} on ${device}`;
    });
  return [...interfaces, ...routes, ...parseIpv6Routes(linesOf('/proc/net/ipv6_route'))];
}

/**
 * Routes of all tables, of which the kernel's own file has the main one only, and policy rules.
 * Undefined where there is no `ip`, which a bare machine gets from the run: nothing is known then.
 */
export function readRouting() {
  if (findProgram('ip') === undefined) return undefined;
  const tables = outputOf('ip', ['-4', '-o', 'route', 'show', 'table', 'all']).map(
    (line) => `route ${line.replaceAll(/\s+/g, ' ')}`,
  );
  const rules = ['-4', '-6'].flatMap((version) =>
    outputOf('ip', [version, 'rule']).map((line) => `rule ${version} ${line.replace('\t', ' ')}`),
  );
  return [...tables, ...rules];
}

/**
 * The rules of iptables as they were set: without its comments and counters.
 * @param {string[]} lines of iptables-save
 */
export function parseIptables(lines) {
  return lines
    .filter((line) => !line.startsWith('#') && line !== 'COMMIT')
    .map((line) => line.replace(/ ?\[\d+:\d+\] ?/, ''));
}

/** nftables, and iptables where the kernel has a table of it: asking for one would make it. */
export function readPacketRules() {
  const nftables = outputOf('nft', ['-s', 'list', 'ruleset']).filter((line) => line !== '}');
  const old = [
    ['/proc/net/ip_tables_names', ['iptables-legacy-save', 'iptables-save']],
    ['/proc/net/ip6_tables_names', ['ip6tables-legacy-save', 'ip6tables-save']],
  ].flatMap(([names, programs]) => {
    const tables = linesOf(names).filter(Boolean);
    if (tables.length === 0) return [];
    const rules = programs.map((one) => outputOf(one, [])).find((lines) => lines.length > 0) ?? [];
    return [...tables, ...parseIptables(rules)].map((line) => `${path.basename(names)}: ${line}`);
  });
  return [...nftables, ...old];
}
