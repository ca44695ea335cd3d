/**
 * What one lease tells the control plane: progress, log rows, events, and its end. Everything is
 * masked here, sent in order, and tried again until it is answered, refused or `stop` is called;
 * nothing of it throws. A refusal means that the lease is over, and is told to `onGone`.
 */
import { SecretMasker } from '@onejob/masking';
import { JOB_TIMEOUT_MAX_MS, type EndReason } from '@onejob/protocol';
import type { AdoptRequest, AdoptResponse } from '@onejob/protocol/agent-service';
import { callUntilAnswered, type ControlPlaneClient } from '../control-plane/client.ts';
import { AgentError } from '../errors.ts';
import { printable } from '../guard/authority.ts';
import type { EgressAccount } from '../guard/egress-ledger.ts';
import type { EgressRecord } from '../guard/egress-record.ts';
import { NAME_CHARACTERS, REASON_CHARACTERS } from '../guard/limits.ts';
import { EventRelay } from './event-relay.ts';
import { RowMask } from './row-mask.ts';
import type { LeaseRef } from './leases.ts';
import { LogRelay } from './log-relay.ts';

export type JobEnd = {
  reason: EndReason;
  message: string;
  outputs: Record<string, string>;
  notes: string[];
  egress: Pick<EgressAccount, 'records' | 'recordsLeftOut'>;
};

/** Never longer than the longest job there is, whatever the control plane says. */
export const jobTimeoutOf = ({ jobTimeoutMs }: AdoptResponse): number =>
  Math.min(Number(jobTimeoutMs), JOB_TIMEOUT_MAX_MS);

export class LeaseReports {
  readonly logs: LogRelay;
  readonly events: EventRelay;
  readonly #client: Pick<ControlPlaneClient, 'rpc'>;
  readonly #lease: LeaseRef;
  readonly #onGone: (why: string) => void;
  readonly #masker = new SecretMasker();
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #progress: Promise<void> = Promise.resolve();

  constructor(options: {
    client: Pick<ControlPlaneClient, 'rpc'>;
    lease: LeaseRef;
    /** The agent gives up delivering. */
    closing: AbortSignal;
    onGone: (why: string) => void;
  }) {
    const { client, lease } = options;
    this.#client = client;
    this.#lease = lease;
    this.#onGone = options.onGone;
    this.#signal = AbortSignal.any([options.closing, this.#stop.signal]);
    this.logs = new LogRelay(async (offset, rows) => {
      const wire = rows.map((row) => ({ ...row, atMs: BigInt(row.atMs) }));
      const request = { lease, offset: BigInt(offset), rows: wire };
      const answer = await this.#call((signal) => client.rpc.appendLog(request, { signal }));
      return answer === undefined ? offset : Number(answer.ack);
    }, new RowMask(this.#masker));
    this.events = new EventRelay(async (sequence, eventsJson) => {
      const request = { lease, sequence: BigInt(sequence), eventsJson };
      const answer = await this.#call((signal) => client.rpc.reportEvents(request, { signal }));
      return answer === undefined ? sequence : Number(answer.ack);
    });
  }

  /** Throws when a value cannot be masked: then nothing more may be shown. */
  addMask(value: string): void {
    this.#masker.add(value);
  }

  readonly mask = (text: string): string => this.#masker.maskText(text);

  /** For people; on its own, one after the other. */
  progress(driver: string, note: string, phasesMs: Record<string, number>): void {
    this.#progress = this.#progress.then(async () => {
      const request = { lease: this.#lease, driver, note, phasesMs };
      const answer = await this.#call((signal) =>
        this.#client.rpc.reportProgress(request, { signal }),
      );
      if (answer?.stale === true) this.#onGone('the control plane gave the job to another lease');
    });
  }

  /** Throws `lease_gone` when it is refused, or the signal's reason: then it may have happened. */
  async adopt(
    request: Pick<AdoptRequest, 'adoptionCredential' | 'requestKey'>,
    signal: AbortSignal,
  ): Promise<AdoptResponse> {
    const { jobId, attempt, epoch } = this.#lease;
    return await callUntilAnswered(
      async (one) =>
        await this.#client.rpc.adopt({ ...request, jobId, attempt, epoch }, { signal: one }),
      signal,
    );
  }

  /** True: the control plane has heard, or does not want to. */
  async release(why: string): Promise<boolean> {
    const request = { lease: this.#lease, why };
    await this.#call((signal) => this.#client.rpc.release(request, { signal }));
    return !this.#signal.aborted;
  }

  /** Rows and events first. True: the control plane has heard, or does not want to. */
  async finish(end: JobEnd): Promise<boolean> {
    await Promise.all([this.logs.drained(), this.events.drained()]);
    const notes = [...end.notes];
    if (this.logs.unwanted > 0) {
      notes.push(`${this.logs.unwanted} rows of the log were not taken by the control plane.`);
    }
    const outputs = Object.entries(end.outputs).filter(
      ([name, value]) => !this.#masker.containsSecret(name) && !this.#masker.containsSecret(value),
    );
    const dropped = Object.keys(end.outputs).length - outputs.length;
    if (dropped > 0) {
      notes.push(
        `Outputs that hold a secret were dropped by the agent: ${dropped}. A needed job gets them empty.`,
      );
    }
    const request = {
      lease: this.#lease,
      reason: end.reason,
      message: this.mask(end.message),
      outputs: Object.fromEntries(outputs),
      logRows: BigInt(this.logs.total),
      notes: notes.map(this.mask),
      egress: end.egress.records.map((record) => this.#toMessage(record)),
      egressLeftOut: BigInt(end.egress.recordsLeftOut),
    };
    await this.#call((signal) => this.#client.rpc.finish(request, { signal }));
    return !this.#signal.aborted;
  }

  /** A mask may be longer than what it hides. */
  #toMessage(record: EgressRecord) {
    const { address = '', host, port, reason = '', rule, verdict } = record;
    return {
      ...{ address, port, rule, verdict },
      host: printable(this.mask(host), NAME_CHARACTERS),
      reason: printable(this.mask(reason), REASON_CHARACTERS),
      atMs: BigInt(record.atMs),
      bytesUp: BigInt(record.bytesUp),
      bytesDown: BigInt(record.bytesDown),
      durationMs: BigInt(record.durationMs),
    };
  }

  /** No more tries: what is not delivered now stays undelivered. */
  stop(): void {
    this.#stop.abort();
  }

  /** undefined: refused, or given up. */
  async #call<T>(call: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    try {
      return await callUntilAnswered(call, this.#signal);
    } catch (error) {
      if (error instanceof AgentError && error.code === 'lease_gone') this.#onGone(error.message);
      return undefined;
    }
  }
}
