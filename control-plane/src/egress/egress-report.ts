/**
 * The egress report of a job: what it talked to, summed by target and outcome, as a table in Markdown.
 * Names in it come from the job. Promise: bounded, and what is in it is text and nothing else, whatever
 * a name holds; where there are more targets than it lists, allowed ones come before others, and those
 * with more bytes before those with fewer.
 */
import type { EgressRecord, EgressReport } from '@onejob/protocol';
import { EGRESS_REPORT_LINES } from '../limits.ts';

type Line = {
  first: EgressRecord;
  connections: number;
  bytesUp: number;
  bytesDown: number;
  durationMs: number;
};

const HEAD = `### Egress report

| target | address | verdict | rule | connections | bytes up | bytes down | seconds |
| --- | --- | --- | --- | ---: | ---: | ---: | ---: |`;

/** Signs that mean something in Markdown or HTML become numeric references. */
const plain = (text: string): string =>
  text.replace(/[^\w .:/-]/g, (sign) => `&#${sign.codePointAt(0)};`);

/** Empty: the job talked to nobody. */
export function writeEgressReport({ records, leftOut }: EgressReport): string {
  if (records.length === 0) return '';
  const lines = new Map<string, Line>();
  for (const record of records) {
    const { verdict, rule, host, port, address } = record;
    const key = JSON.stringify([verdict, rule, host, port, address]);
    const line = lines.get(key);
    const { bytesUp, bytesDown, durationMs } = record;
    if (line === undefined) {
      lines.set(key, { first: record, connections: 1, bytesUp, bytesDown, durationMs });
      continue;
    }
    line.connections += 1;
    line.bytesUp += bytesUp;
    line.bytesDown += bytesDown;
    line.durationMs += durationMs;
  }
  const shown = choose([...lines.values()]);
  const rows = shown.map(({ first, connections, bytesUp, bytesDown, durationMs }) => {
    const host = first.host.includes(':') ? `[${first.host}]` : first.host;
    const seconds = (durationMs / 1000).toFixed(1);
    const texts = [`${host}:${first.port}`, first.address ?? '', first.verdict, first.rule];
    return `| ${[...texts.map(plain), connections, bytesUp, bytesDown, seconds].join(' | ')} |`;
  });
  const listed = shown.reduce((sum, { connections }) => sum + connections, 0);
  const more = records.length - listed + leftOut;
  const rest = more === 0 ? '' : `\n${more} more connections are not listed.\n`;
  return `${HEAD}\n${rows.join('\n')}\n${rest}`;
}

/** In the order they came. */
function choose(lines: readonly Line[]): readonly Line[] {
  const isAllowed = ({ first }: Line): number => (first.verdict === 'allowed' ? 1 : 0);
  const bytes = ({ bytesUp, bytesDown }: Line): number => bytesUp + bytesDown;
  const chosen = lines
    .toSorted((a, b) => isAllowed(b) - isAllowed(a) || bytes(b) - bytes(a))
    .slice(0, EGRESS_REPORT_LINES);
  const kept = new Set(chosen);
  return lines.filter((line) => kept.has(line));
}
