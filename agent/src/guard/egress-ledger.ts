/**
 * Keeps what the guard decided for each sandbox until its job asks: the records, and a short form for
 * people. Promise: memory is bounded whatever a job does, and what does not fit is counted and said. When
 * it is full, what matters less goes for what matters more, so that nobody hides an upload behind many
 * connections that came to nothing: allowed before others, then more bytes before fewer, then who came first.
 */
import type { SandboxId } from '@onejob/protocol';
import { EGRESS_RECORDS_PER_JOB } from '@onejob/protocol/limits';
import type { EgressRecord } from './egress-record.ts';
import { LEDGER_LINES, LEDGER_SANDBOXES } from './limits.ts';
import { MostImportant, type Importance } from './most-important.ts';
import { showTarget } from './policy.ts';

/** Host names come from the job and may hold its secrets: mask them before they are shown. */
export type EgressAccount = {
  /**
   * One sentence for each different target and outcome, in the order they first came, with the
   * number of connections and bytes.
   */
  notes: string[];
  /** Those that matter most, in the order they ended. */
  records: EgressRecord[];
  /** How many more there were. */
  recordsLeftOut: number;
};

type EgressLedger = {
  add(this: void, record: EgressRecord): void;
  /** What it returned is forgotten. */
  take(this: void, sandboxId: string): EgressAccount;
};

type Sum = { connections: number; bytesUp: number; bytesDown: number };
type Line = Sum & { first: EgressRecord };
type Page = {
  lines: MostImportant<string, Line>;
  linesLeftOut: Sum;
  /** By number, in the order they came. */
  records: MostImportant<number, EgressRecord>;
  recordsSeen: number;
};

const importanceOfRecord = ({ verdict, bytesUp, bytesDown }: EgressRecord): Importance => [
  verdict === 'allowed' ? 1 : 0,
  bytesUp + bytesDown,
];
const importanceOfLine = ({ first, bytesUp, bytesDown }: Line): Importance =>
  importanceOfRecord({ ...first, bytesUp, bytesDown });

const newPage = (): Page => ({
  lines: new MostImportant(LEDGER_LINES, importanceOfLine),
  linesLeftOut: { connections: 0, bytesUp: 0, bytesDown: 0 },
  records: new MostImportant(EGRESS_RECORDS_PER_JOB, importanceOfRecord),
  recordsSeen: 0,
});

export function createEgressLedger(): EgressLedger {
  /** In the order of first use. Records of connections that outlive the asking open a page again. */
  const pages = new Map<SandboxId, Page>();

  return {
    add(record) {
      let page = pages.get(record.sandboxId);
      if (page === undefined) {
        page = newPage();
        pages.set(record.sandboxId, page);
        const [oldest] = pages.keys();
        if (pages.size > LEDGER_SANDBOXES && oldest !== undefined) pages.delete(oldest);
      }
      addLine(page, record);
      page.records.add(page.recordsSeen, record);
      page.recordsSeen += 1;
    },

    take(sandboxId) {
      const page = pages.get(sandboxId as SandboxId);
      if (page === undefined) return { notes: [], records: [], recordsLeftOut: 0 };
      pages.delete(sandboxId as SandboxId);
      const notes = page.lines.values().map(describe);
      const { connections, bytesUp, bytesDown } = page.linesLeftOut;
      if (connections > 0) {
        notes.push(
          `Egress: ${connections} more connections to further targets, not listed, ${bytesUp} bytes up, ${bytesDown} bytes down.`,
        );
      }
      const records = page.records.values();
      return { notes, records, recordsLeftOut: page.recordsSeen - records.length };
    },
  };
}

function addLine({ lines, linesLeftOut }: Page, record: EgressRecord): void {
  const key = [record.verdict, record.rule, record.host, record.port].join(' ');
  const line = lines.get(key) ?? { first: record, connections: 0, bytesUp: 0, bytesDown: 0 };
  const leftOut = lines.add(key, addUp(line, { ...record, connections: 1 }));
  if (leftOut !== undefined) Object.assign(linesLeftOut, addUp(linesLeftOut, leftOut));
}

const addUp = <T extends Sum>(sum: T, { connections, bytesUp, bytesDown }: Sum): T => ({
  ...sum,
  connections: sum.connections + connections,
  bytesUp: sum.bytesUp + bytesUp,
  bytesDown: sum.bytesDown + bytesDown,
});

function describe({ first, connections, bytesUp, bytesDown }: Line): string {
  const times = connections === 1 ? '' : ` (${connections} times)`;
  if (first.verdict !== 'allowed') return `Egress ${first.verdict}: ${first.reason}${times}`;
  return `Egress allowed: ${showTarget(first)}, ${bytesUp} bytes up, ${bytesDown} bytes down${times}`;
}
