/**
 * Keeps what the guard decided for each sandbox until its job asks: the records, and a short form for
 * people. Promise: memory is bounded whatever a job does; what did not fit is counted and said.
 */
import type { SandboxId } from '@onejob/protocol';
import { EGRESS_RECORDS_PER_JOB } from '@onejob/protocol/limits';
import type { EgressRecord } from './egress-record.ts';
import { LEDGER_LINES, LEDGER_SANDBOXES } from './limits.ts';
import { showTarget } from './policy.ts';

/** Host names come from the job and may hold its secrets: mask them before they are shown. */
export type EgressAccount = {
  /**
   * One sentence for each different target and outcome, in the order they first came, with the
   * number of connections and bytes.
   */
  notes: string[];
  /** The first ones, in the order they ended. */
  records: EgressRecord[];
  /** How many more there were. */
  recordsLeftOut: number;
};

type EgressLedger = {
  add(this: void, record: EgressRecord): void;
  /** What it returned is forgotten. */
  take(this: void, sandboxId: string): EgressAccount;
};

type Line = { first: EgressRecord; connections: number; bytesUp: number; bytesDown: number };
type Page = {
  lines: Map<string, Line>;
  connectionsLeftOut: number;
  records: EgressRecord[];
  recordsLeftOut: number;
};

export function createEgressLedger(): EgressLedger {
  /** In the order of first use. Records of connections that outlive the asking open a page again. */
  const pages = new Map<SandboxId, Page>();

  return {
    add(record) {
      let page = pages.get(record.sandboxId);
      if (page === undefined) {
        page = { lines: new Map(), connectionsLeftOut: 0, records: [], recordsLeftOut: 0 };
        pages.set(record.sandboxId, page);
        const [oldest] = pages.keys();
        if (pages.size > LEDGER_SANDBOXES && oldest !== undefined) pages.delete(oldest);
      }
      addLine(page, record);
      if (page.records.length < EGRESS_RECORDS_PER_JOB) page.records.push(record);
      else page.recordsLeftOut += 1;
    },

    take(sandboxId) {
      const page = pages.get(sandboxId as SandboxId);
      if (page === undefined) return { notes: [], records: [], recordsLeftOut: 0 };
      pages.delete(sandboxId as SandboxId);
      const notes = Array.from(page.lines.values(), describe);
      if (page.connectionsLeftOut > 0) {
        notes.push(
          `Egress: ${page.connectionsLeftOut} more connections to further targets, not listed.`,
        );
      }
      const { records, recordsLeftOut } = page;
      return { notes, records, recordsLeftOut };
    },
  };
}

function addLine(page: Page, record: EgressRecord): void {
  const key = [record.verdict, record.rule, record.host, record.port].join(' ');
  const line = page.lines.get(key);
  const { bytesUp, bytesDown } = record;
  if (line !== undefined) {
    line.connections += 1;
    line.bytesUp += bytesUp;
    line.bytesDown += bytesDown;
  } else if (page.lines.size < LEDGER_LINES) {
    page.lines.set(key, { first: record, connections: 1, bytesUp, bytesDown });
  } else {
    page.connectionsLeftOut += 1;
  }
}

function describe({ first, connections, bytesUp, bytesDown }: Line): string {
  const times = connections === 1 ? '' : ` (${connections} times)`;
  if (first.verdict !== 'allowed') return `Egress ${first.verdict}: ${first.reason}${times}`;
  return `Egress allowed: ${showTarget(first)}, ${bytesUp} bytes up, ${bytesDown} bytes down${times}`;
}
