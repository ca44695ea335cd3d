/**
 * What a sandbox connected to by itself, as its namespace's connection tracking tells (`conntrack -E`
 * while it lives, `conntrack -L` at its end): each flow becomes one record, with the name that led
 * there when it began. Pure but for the clock it is given. Promise: whatever the tool says, memory is
 * bounded, and no line is an error.
 */
import { classifyAddress } from '../guard/address.ts';
import type { EgressRecord } from '../guard/egress-record.ts';
import type { Guard, GuardContext } from '../guard/guard.ts';
import { showTarget } from '../guard/policy.ts';
import { FLOW_LINE_CHARACTERS, FOLLOWED_FLOWS } from './limits.ts';
import { GUEST } from './plan.ts';

export type FlowContext = {
  egress: GuardContext;
  guard: Pick<Guard, 'judgeDirect' | 'record'>;
  nameOf: (address: string) => string | undefined;
};

type Flow = Target & { atMs: number; startedMs: number; name: string | undefined };
type Target = { address: string; port: number };
type FlowLine = Target & {
  event: 'NEW' | 'DESTROY' | undefined;
  id: string;
  source: string;
  bytesUp: number;
  bytesDown: number;
};

/** One line of conntrack with `-o id`; undefined: something else. */
export function parseFlow(line: string): FlowLine | undefined {
  if (line.length > FLOW_LINE_CHARACTERS) return undefined;
  const event = /^\s*\[(NEW|DESTROY)\]/.exec(line)?.[1] as FlowLine['event'];
  const all = (name: string): string[] =>
    Array.from(
      line.matchAll(new RegExp(`(?:^|\\s)${name}=(\\S+)`, 'g')),
      (match) => match[1] ?? '',
    );
  const [source] = all('src');
  const [address] = all('dst');
  const [id] = all('id').slice(-1);
  if (source === undefined || address === undefined || id === undefined) return undefined;
  try {
    const [bytesUp = 0, bytesDown = 0] = all('bytes').map(Number);
    const port = Number(all('dport')[0] ?? 0);
    const numbers = [bytesUp, bytesDown, port];
    if (!numbers.every((value) => Number.isSafeInteger(value) && value >= 0)) return undefined;
    return {
      ...{ event, id, port, bytesUp, bytesDown },
      source: classifyAddress(source).address,
      address: classifyAddress(address).address,
    };
  } catch {
    return undefined; // no address
  }
}

export class FlowRecorder {
  readonly #context: FlowContext;
  readonly #flows = new Map<string, Flow>();
  #partial = '';

  constructor(context: FlowContext) {
    this.#context = context;
  }

  /** Output of `conntrack -E`, cut anywhere. */
  push(chunk: string): void {
    const lines = `${this.#partial}${chunk}`.split('\n');
    this.#partial = (lines.pop() ?? '').slice(-FLOW_LINE_CHARACTERS);
    for (const line of lines) {
      const flow = this.#ofGuest(line);
      if (flow?.event === 'NEW') this.#begin(flow);
      else if (flow?.event === 'DESTROY') this.#end(flow);
    }
  }

  /** Output of `conntrack -L`: what has not ended yet ends now, and so does what nobody told the end of. */
  finish(listing: string): void {
    for (const line of listing.split('\n')) {
      const flow = this.#ofGuest(line);
      if (flow !== undefined) this.#end(flow);
    }
    const reason = 'The end of this connection was not seen: its bytes are not known.';
    for (const flow of this.#flows.values()) {
      this.#record(flow, { bytesUp: 0, bytesDown: 0, reason });
    }
    this.#flows.clear();
  }

  /** The sandbox's own connections; its look-ups are recorded where they are judged. */
  #ofGuest(line: string): FlowLine | undefined {
    const flow = parseFlow(line);
    const isGuests = flow?.source === GUEST.address || flow?.source === GUEST.address6;
    return isGuests && flow.address !== GUEST.gateway ? flow : undefined;
  }

  /** One that is too many to be followed is known when it ends. */
  #begin({ id, address, port }: FlowLine): void {
    if (this.#flows.size < FOLLOWED_FLOWS) this.#flows.set(id, this.#newFlow({ address, port }));
  }

  #newFlow({ address, port }: Target): Flow {
    const name = this.#context.nameOf(address);
    return { address, port, name, atMs: Date.now(), startedMs: performance.now() };
  }

  #end({ id, address, port, bytesUp, bytesDown }: FlowLine): void {
    const flow = this.#flows.get(id) ?? this.#newFlow({ address, port });
    this.#flows.delete(id);
    this.#record({ ...flow, address, port }, { bytesUp, bytesDown });
  }

  #record(flow: Flow, said: Pick<EgressRecord, 'bytesUp' | 'bytesDown' | 'reason'>): void {
    const { guard, egress } = this.#context;
    const { address, port } = flow;
    const host = flow.name ?? address;
    guard.record({
      ...{ atMs: flow.atMs, ...ownerOf(egress), host, port, ...said },
      ...guard.judgeDirect({ host, address, port }, egress.policy()),
      address,
      durationMs: Math.round(performance.now() - flow.startedMs),
    });
  }
}

const ownerOf = ({
  sandboxId,
  jobId,
}: GuardContext): Pick<EgressRecord, 'sandboxId' | 'jobId'> => ({
  sandboxId,
  ...(jobId === undefined ? {} : { jobId }),
});

/** One element of a set that counts refused packets, as `nft -j` lists it. */
type CountedElement = { elem?: { val?: { concat?: unknown[] }; counter?: { packets?: number } } };

/** Targets whose packets the rules refused, from `nft -j list set`. */
export function parseRefused(json: string): { address: string; port: number }[] {
  let listed: { nftables?: { set?: { elem?: CountedElement[] } }[] };
  try {
    listed = JSON.parse(json) as typeof listed;
  } catch {
    return [];
  }
  const elements = (listed.nftables ?? []).flatMap(({ set }) => set?.elem ?? []);
  return elements.flatMap(({ elem }) => {
    const [address, , port] = elem?.val?.concat ?? [];
    return typeof address === 'string' && typeof port === 'number' ? [{ address, port }] : [];
  });
}

/** A record for each target of refused packets. What is not closed was over a limit. */
export function recordRefused(json: string, context: FlowContext): void {
  const { guard, egress, nameOf } = context;
  for (const { address, port } of parseRefused(json)) {
    const host = nameOf(address) ?? address;
    const judged = guard.judgeDirect({ host, address, port }, egress.policy());
    const limited = { verdict: 'refused', rule: 'connection-limit' } as const;
    const reason = `onejob refused some connections to ${showTarget({ host, port })}: this sandbox had more of them open, opened them faster, or moved more bytes, than it may.`;
    guard.record({
      ...{ atMs: Date.now(), ...ownerOf(egress), host, port },
      ...{ bytesUp: 0, bytesDown: 0, durationMs: 0 },
      ...(judged.verdict === 'refused' ? judged : { ...limited, reason }),
      address,
    });
  }
}
