/** Reads `hostile-targets.tsv`: targets that no job may reach, each with its rule and its reason. */
import { readFileSync } from 'node:fs';
import type { DnsAnswer } from '../src/guard/_dns-server.ts';

type HostileTarget = {
  /** As it stands in a CONNECT. */
  target: string;
  rule: string;
  /** The address that a plain proxy reaches for it. */
  reaches: string;
  reason: string;
  /** In lower case, without the last dot and the port: what a resolver is asked for. */
  host: string;
  /** What the resolver of the test says: in the file, `alias>alias>address,address`. */
  answer: DnsAnswer;
};

export function readHostileTargets(): HostileTarget[] {
  const file = new URL('hostile-targets.tsv', import.meta.url);
  const [, ...lines] = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [target = '', rule = '', reaches = '', reason = '', answers = ''] = line.split('\t');
    const host = target.replace(/\.?:[0-9]+$/, '').toLowerCase();
    const via = answers.split('>');
    const addresses = (via.pop() ?? '').split(',').filter(Boolean);
    const answer: DnsAnswer = addresses.length > 0 ? { addresses, via } : 'no-such-name';
    return { target, rule, reaches, reason, host, answer };
  });
}
