/**
 * The egress guard: the only way from a sandbox to a network, one CONNECT at a time.
 *
 *     CONNECT -> judge the target -> resolve -> judge every address -> dial a judged address
 *             -> check who answered -> 200 -> (allow-list: check the TLS server name) -> tunnel  -> record
 *        400 malformed | 403 refused | 502 no name, no connection | 504 too slow   -> record
 *
 * Promise: the guard resolves names itself, once; it connects to an address it has judged and to
 * nothing else; every CONNECT ends in exactly one record; when `handleConnect` resolves, the stream
 * and the socket are closed or closing. An answer other than 200 says why in the header
 * `onejob-egress-reason`. In doubt it refuses.
 */
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { JobId, SandboxId } from '@onejob/protocol';
import { createAccounts, type LimitRule } from './accounts.ts';
import { classifyAddress } from './address.ts';
import { parseAuthority, printable, type Target } from './authority.ts';
import {
  directAccess,
  judgeDirect,
  type DirectAccess,
  type DirectTarget,
} from './direct-access.ts';
import { connectTcp, dial, orderAddresses, type Connect, type Dialled } from './dialler.ts';
import type { AllowRule, EgressRecord, FailureRule, RefusalRule } from './egress-record.ts';
import { ANY_PORT, isBoundToServerName, type JobPolicy } from './job-policy.ts';
import { GUARD_LIMITS, NAME_CHARACTERS, REASON_CHARACTERS, type GuardLimits } from './limits.ts';
import { createNameResolver, type NameResolver, type Resolution } from './name-resolver.ts';
import {
  compilePolicy,
  judgeAddresses,
  judgeTarget,
  showTarget,
  type Permission,
  type Policy,
  type PolicyOptions,
  type Refusal,
} from './policy.ts';
import { checkServerName } from './server-name-check.ts';
import { joinTunnel } from './tunnel.ts';

export type GuardContext = {
  sandboxId: SandboxId;
  jobId?: JobId;
  /** Asked at every connection: a sandbox has no job, and no policy, before its adoption. */
  policy: () => JobPolicy;
};

export type GuardOptions = PolicyOptions & {
  /** Called once a connection, when it is over. Must not throw. */
  records: (record: EgressRecord) => void;
  limits?: Partial<GuardLimits>;
  /** Default: DNS through the host's configured resolvers. */
  resolver?: NameResolver;
  /** The host's addresses at this moment; default: those of its interfaces. */
  ownAddresses?: () => readonly string[];
  /** The clock of the rates; it never goes back. */
  nowMs?: () => number;
  /** Opens a TCP connection; default: node:net. */
  connect?: Connect;
};

export type Guard = {
  /**
   * Serves one CONNECT stream to its end; never rejects.
   * @param authority the stream's `:authority`, as it came
   */
  handleConnect(stream: ServerHttp2Stream, authority: string, context: GuardContext): Promise<void>;
  /**
   * Opens a connection for what the agent itself does on behalf of a sandbox; never rejects. It is
   * not one of the sandbox's connections, so that no job can use up what another one waits for. The
   * job's policy holds for it, too; what is said on it is the agent's own, so its TLS is not looked
   * at. The caller ends the socket; its record is made then.
   */
  connect(authority: string, context: GuardContext, signal: AbortSignal): Promise<Connected>;
  /**
   * Looks a name up for a sandbox, judged as for a connection at any port, within the sandbox's limits;
   * never rejects. A refusal is recorded.
   */
  lookUp(name: string, context: GuardContext): Promise<LookedUp>;
  /** What is closed, at this moment, to a sandbox with an interface of its own. */
  directAccess(): DirectAccess;
  /** Judges what a sandbox connected to, or tried to, by its own interface. */
  judgeDirect(target: DirectTarget, policy: JobPolicy): Permission | Refusal;
  /** Takes the record of a connection that was not the guard's own. */
  record(record: EgressRecord): void;
};

/** `nothing`: there is no such name, or no address for it; `failed`: nobody can say. */
export type LookedUp =
  | { kind: 'addresses'; addresses: readonly string[] }
  | { kind: 'refused' | 'nothing' | 'failed' };

/** `reason` is the sentence of the record. */
export type Connected =
  | { kind: 'open'; socket: Socket }
  | { kind: 'closed'; status: number; verdict: 'refused' | 'failed'; reason: string };

/** How an attempt to open a connection came out. `status` is the HTTP status of the answer. */
type Opened = { kind: 'open'; socket: Socket; address: string; rule: AllowRule } | NotOpened;
type NotOpened = {
  kind: 'closed';
  status: number;
  verdict: 'refused' | 'failed';
  rule: RefusalRule | FailureRule;
  reason: string;
  address?: string;
};

/** Throws AgentError `invalid_configuration` when a range or port in the options is wrong. */
export function createGuard(options: GuardOptions): Guard {
  const opener = {
    policy: compilePolicy(options),
    limits: { ...GUARD_LIMITS, ...options.limits },
    resolver: options.resolver ?? createNameResolver(),
    ownAddresses: options.ownAddresses ?? interfaceAddresses,
    connect: options.connect ?? connectTcp,
  };
  const accounts = createAccounts(opener.limits, options.nowMs ?? (() => performance.now()));

  return {
    async handleConnect(stream, authority, context) {
      const { sandboxId } = context;
      const limit = accounts.enter(sandboxId);
      const move = (bytes: number): boolean => accounts.move(sandboxId, bytes);
      try {
        options.records(await serve(stream, authority, context, opener, { limit, move }));
      } finally {
        if (limit === undefined) accounts.leave(sandboxId);
      }
    },
    async connect(authority, context, signal) {
      const target = parseAuthority(authority);
      const record = recorder(target, context);
      const opened = await openOrRefuse(target, opener, context, signal);
      if (opened.kind === 'closed') {
        options.records(record(outcomeOf(opened)));
        return opened;
      }
      const { socket, address, rule } = opened;
      socket.setTimeout(opener.limits.idleTimeoutMs, () => socket.destroy());
      socket.once('close', () => {
        const { bytesWritten: bytesUp, bytesRead: bytesDown } = socket;
        options.records(record({ address, verdict: 'allowed', rule, bytesUp, bytesDown }));
      });
      return { kind: 'open', socket };
    },
    async lookUp(name, context) {
      const { sandboxId } = context;
      const target = { ...parseAuthority(`${name}:443`), port: ANY_PORT };
      const record = recorder(target, context);
      const limit = accounts.enter(sandboxId);
      try {
        const found =
          limit === undefined
            ? await orRefuse(target, () => resolve(target, opener, context))
            : overLimit(target, limit, opener.limits);
        if (found.kind === 'addresses') return found;
        if (found.verdict === 'failed') {
          return { kind: found.rule === 'name-without-address' ? 'nothing' : 'failed' };
        }
        options.records(record(outcomeOf(found)));
        return { kind: limit === undefined ? 'refused' : 'failed' };
      } finally {
        if (limit === undefined) accounts.leave(sandboxId);
      }
    },
    directAccess: () => directAccess(opener.policy, opener.limits, opener.ownAddresses()),
    judgeDirect: (target, policy) =>
      judgeDirect(target, opener.policy, policy, opener.ownAddresses()),
    record: (record) => options.records(record),
  };
}

type Opener = {
  policy: Policy;
  limits: GuardLimits;
  resolver: NameResolver;
  ownAddresses: () => readonly string[];
  connect: Connect;
};

/** `limit`: the one that is reached, if any. */
type Admission = { limit: LimitRule | undefined; move: (bytes: number) => boolean };

type Outcome = Omit<EgressRecord, 'atMs' | 'host' | 'port' | 'durationMs' | 'sandboxId'>;

/** Begins a record now; gives what completes it. */
function recorder(
  target: Target,
  { sandboxId, jobId }: GuardContext,
): (outcome: Outcome) => EgressRecord {
  const atMs = Date.now();
  const startedMs = performance.now();
  return (outcome) => ({
    atMs,
    sandboxId,
    ...(jobId === undefined ? {} : { jobId }),
    host: printable(target.host, NAME_CHARACTERS),
    port: target.port,
    ...outcome,
    durationMs: Math.round(performance.now() - startedMs),
  });
}

async function serve(
  stream: ServerHttp2Stream,
  authority: string,
  context: GuardContext,
  opener: Opener,
  { limit, move }: Admission,
): Promise<EgressRecord> {
  const gone = new AbortController();
  // The stream may be dead already and may die at any time; an error without a listener would end
  // the agent.
  if (stream.destroyed) gone.abort();
  stream.on('error', () => gone.abort());
  stream.once('close', () => gone.abort());
  const target = parseAuthority(authority);
  const record = recorder(target, context);
  const opened =
    limit === undefined
      ? await openOrRefuse(target, opener, context, gone.signal)
      : overLimit(target, limit, opener.limits);
  if (opened.kind === 'closed') {
    answer(stream, opened.status, opened.reason);
    return record(outcomeOf(opened));
  }
  const { socket, address } = opened;
  if (stream.destroyed || stream.closed) {
    socket.resetAndDestroy();
    return record({ ...outcomeOf(abandoned(target)), address });
  }
  stream.respond({ [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_OK });
  const kept = isBoundToServerName(target, context.policy())
    ? await keepBack(stream, socket, target, opener.limits)
    : undefined;
  if (kept !== undefined) {
    breakOff(stream, socket);
    return record({ verdict: 'allowed', rule: opened.rule, ...kept, address, ...NO_BYTES });
  }
  return record({ address, ...(await tunnel(stream, opened, target, opener.limits, move)) });
}

const NO_BYTES = { bytesUp: 0, bytesDown: 0 } as const;

/** What the record says of a connection that there was none of. */
const outcomeOf = ({ kind: _kind, status: _status, ...rest }: NotOpened): Outcome => ({
  ...rest,
  ...NO_BYTES,
});

/** How a tunnel that was joined came out. */
async function tunnel(
  stream: ServerHttp2Stream,
  { socket, rule }: Opened & { kind: 'open' },
  target: Target,
  limits: GuardLimits,
  move: Admission['move'],
): Promise<Omit<Outcome, 'address'>> {
  const end = await joinTunnel(stream, socket, limits.idleTimeoutMs, move);
  const bytes = { bytesUp: socket.bytesWritten, bytesDown: socket.bytesRead };
  if (end === 'spent') {
    return { ...outcomeOf(overLimit(target, 'byte-limit', limits)), ...bytes };
  }
  const reason = end === 'closed' ? {} : { reason: END_REASONS[end] };
  return { verdict: 'allowed', rule, ...reason, ...bytes };
}

/** What of the record is otherwise where the tunnel must not be joined; undefined: it may be. */
async function keepBack(
  stream: ServerHttp2Stream,
  socket: Socket,
  target: Target,
  limits: GuardLimits,
): Promise<Partial<Outcome> | undefined> {
  const said = await checkServerName(stream, socket, target.host, limits.clientHelloTimeoutMs);
  if (said.kind === 'gone') return { reason: END_REASONS.reset };
  if (said.kind === 'unused') return {};
  if (said.kind === 'refused') {
    const reason = `onejob refuses ${showTarget(target)}: it is on the allow-list of this job by its name, and ${said.what}.`;
    return { verdict: 'refused', rule: said.rule, reason };
  }
  return stream.destroyed || socket.destroyed ? { reason: END_REASONS.reset } : undefined;
}

function breakOff(stream: ServerHttp2Stream, socket: Socket): void {
  if (!socket.destroyed) socket.resetAndDestroy();
  if (!stream.destroyed) stream.close(constants.NGHTTP2_CONNECT_ERROR);
}

const openOrRefuse = async (
  target: Target,
  opener: Opener,
  context: GuardContext,
  signal: AbortSignal,
): Promise<Opened> => await orRefuse(target, () => open(target, opener, context, signal));

/** A fault of ours or of an injected part is no way out: it closes this connection, and only this. */
async function orRefuse<T>(target: Target, work: () => Promise<T>): Promise<T | NotOpened> {
  try {
    return await work();
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    return failed(502, 'guard-failed', `The egress guard failed at ${showTarget(target)}: ${what}`);
  }
}

const END_REASONS = {
  reset: 'One side broke the connection off.',
  idle: 'onejob closed the connection: nothing moved on it for too long.',
} as const;

async function open(
  target: Target,
  opener: Opener,
  context: GuardContext,
  signal: AbortSignal,
): Promise<Opened> {
  const resolved = await resolve(target, opener, context);
  if (resolved.kind !== 'addresses') return resolved;
  const dialled = await dial(orderAddresses(resolved.addresses), target.port, {
    connect: opener.connect,
    timeoutMs: opener.limits.connectTimeoutMs,
    attemptDelayMs: opener.limits.attemptDelayMs,
    signal,
  });
  if (dialled.kind !== 'connected') return unconnected(target, dialled);
  return verifyPeer(target, dialled, resolved.rule);
}

type Resolved = { kind: 'addresses'; addresses: readonly string[]; rule: AllowRule } | NotOpened;

/** The addresses of a target, all of them judged. */
async function resolve(target: Target, opener: Opener, context: GuardContext): Promise<Resolved> {
  const early = judgeTarget(target, opener.policy, context.policy());
  if (early !== undefined) {
    return { kind: 'closed', status: early.rule === 'malformed-authority' ? 400 : 403, ...early };
  }
  // Not cut short when the guest leaves: its place among the connections is the limit on look-ups.
  const resolution: Resolution =
    target.kind === 'name'
      ? await opener.resolver.resolve(target.host, opener.limits.resolveTimeoutMs)
      : { kind: 'addresses', addresses: [target.host] };
  if (resolution.kind !== 'addresses') return unresolved(target, resolution);
  const judged = judgeAddresses(target, resolution.addresses, opener.policy, opener.ownAddresses());
  if (judged.verdict === 'refused') return { kind: 'closed', status: 403, ...judged };
  return { ...resolution, rule: judged.rule };
}

/**
 * The second wall: who answered is who was judged, and not this host. The kernel gives a connection
 * to any local address, also one that no interface lists, that same address as its source.
 */
function verifyPeer(
  target: Target,
  { socket, address }: Dialled & { kind: 'connected' },
  rule: AllowRule,
): Opened {
  const { remoteAddress, localAddress } = socket;
  if (remoteAddress === undefined) {
    socket.destroy();
    return unconnected(target, { kind: 'failed', code: 'ECONNRESET' }); // it was open, and is no more
  }
  const refused = (refusal: RefusalRule, what: string): Opened => {
    socket.resetAndDestroy();
    const reason = `onejob refuses ${showTarget(target)}: ${what}.`;
    return { kind: 'closed', status: 403, verdict: 'refused', rule: refusal, reason, address };
  };
  if (!sameAddress(remoteAddress, address)) {
    return refused('unexpected-peer', 'another address answered than was checked');
  }
  const isOwn = localAddress !== undefined && sameAddress(localAddress, address);
  if (isOwn && rule !== 'hazardous-reachable-loopback') {
    return refused('own-address', `${address} is an address of the host itself`);
  }
  return { kind: 'open', socket, address: classifyAddress(address).address, rule };
}

function sameAddress(one: string, other: string): boolean {
  // A link-local address comes with its zone, which is no part of what was judged.
  const plain = one.split('%')[0] ?? '';
  return classifyAddress(plain).address === classifyAddress(other).address;
}

function failed(status: 502 | 504, rule: FailureRule, reason: string): NotOpened {
  return { kind: 'closed', status, verdict: 'failed', rule, reason };
}

function abandoned(target: Target): NotOpened {
  const reason = `The sandbox gave up on ${showTarget(target)} before it was connected.`;
  return failed(502, 'abandoned', reason);
}

function overLimit(target: Target, rule: LimitRule, limits: GuardLimits): NotOpened {
  const why = {
    'connection-limit': `this sandbox has ${limits.connectionsPerSandbox} connections open, which is the limit; close some first`,
    'connection-rate': `this sandbox may open ${limits.newConnectionsPerSecond} connections in a second and ${limits.newConnectionsPerMinute} in a minute; try again more slowly`,
    'byte-limit': `this sandbox has moved ${limits.bytesPerSandbox} bytes, which is the limit of a job`,
  }[rule];
  const reason = `onejob refuses ${showTarget(target)}: ${why}.`;
  return { kind: 'closed', status: 403, verdict: 'refused', rule, reason };
}

function unresolved(
  target: Target,
  resolution: Exclude<Resolution, { kind: 'addresses' }>,
): NotOpened {
  const { host } = target;
  if (resolution.kind === 'nothing') {
    return failed(502, 'name-without-address', `There is no address for the name ${host}.`);
  }
  if (resolution.kind === 'timeout') {
    return failed(504, 'resolve-timeout', `No resolver answered for ${host} in time.`);
  }
  const reason = `The name ${host} could not be looked up (${resolution.code}).`;
  return failed(502, 'resolver-failed', reason);
}

function unconnected(target: Target, dialled: Exclude<Dialled, { kind: 'connected' }>): NotOpened {
  const shown = showTarget(target);
  if (dialled.kind === 'abandoned') return abandoned(target);
  if (dialled.kind === 'timeout') {
    return failed(504, 'connect-timeout', `${shown} did not answer in time.`);
  }
  return failed(502, 'connect-failed', `${shown} could not be connected to (${dialled.code}).`);
}

/** Answers without a tunnel and asks the guest to send no more (RFC 9113, section 8.1). */
function answer(stream: ServerHttp2Stream, status: number, reason: string): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond(
    {
      [constants.HTTP2_HEADER_STATUS]: status,
      'onejob-egress-reason': printable(reason, REASON_CHARACTERS),
    },
    { endStream: true },
  );
  stream.close(constants.NGHTTP2_NO_ERROR);
}

function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses) =>
    (addresses ?? []).map(({ address }) => address),
  );
}
