/**
 * What a sandbox of this host may reach. Pure: the same question always has the same answer, and nothing here
 * resolves or connects.
 *
 * The order of the checks is the promise:
 *   1. the job's policies, form of the host, port, local names: before any name is looked up;
 *   2. every address of a name, so that one refused address refuses the name as a whole (an answer
 *      that mixes inside and outside is an attack or a mistake, and neither deserves the outside);
 *   3. of one address: metadata and embedded forms (no option opens them), the operator's refused
 *      ranges, the host's own addresses, the operator's hazardous openings, then what the address is.
 */
import { EGRESS_KEY } from '@onejob/protocol';
import type ipaddr from 'ipaddr.js';
import IpAddr from 'ipaddr.js';
import { AgentError } from '../errors.ts';
import { classifyAddress, isWithin, readAddress, type ClassifiedAddress } from './address.ts';
import type { Target } from './authority.ts';
import type { AllowRule, RefusalRule } from './egress-record.ts';
import { ANY_PORT, isNothingAllowed, isOnAllowLists, type JobPolicy } from './job-policy.ts';
import { metadataServiceNamed } from './metadata.ts';

export type PolicyOptions = {
  /** CIDR ranges closed beside the built-in ones: service ranges of a cluster, own public addresses. */
  refusedRanges?: readonly string[];
  /** Inclusive ranges of ports; default: 25, because a sandbox that sends mail sends spam. */
  refusedPorts?: readonly { readonly from: number; readonly to: number }[];
  /**
   * Opens CIDR ranges of the operator's own network to every job, for mirrors and registries within.
   * Each must lie wholly in a private, unique-local or carrier-grade NAT range. Loopback,
   * link-local, metadata and the host's own addresses stay closed.
   */
  hazardousReachableRanges?: readonly string[];
  /** Opens the agent's own loopback listeners to hostile code. Tests have no internet; nobody else. */
  hazardousReachableLoopback?: 'only-in-tests';
};

export type Policy = {
  readonly refusedRanges: readonly Range[];
  readonly refusedPorts: readonly { readonly from: number; readonly to: number }[];
  readonly reachableRanges: readonly Range[];
  readonly isLoopbackReachable: boolean;
};

export type Refusal = { verdict: 'refused'; rule: RefusalRule; reason: string; address?: string };
export type Permission = { verdict: 'allowed'; rule: AllowRule };

type Range = [ipaddr.IPv4 | ipaddr.IPv6, number];

/**
 * Names that mean something else on every network: RFC 6761, 6762 and 8375, ICANN's `internal`, and
 * suffixes that routers and clusters use within.
 */
const LOCAL_SUFFIXES: ReadonlySet<string> = new Set(
  'localhost localdomain local internal intranet private lan home corp svc arpa onion invalid test alt'.split(
    ' ',
  ),
);

const SMTP: readonly { from: number; to: number }[] = [{ from: 25, to: 25 }];

/** Checks and completes the options; AgentError `invalid_configuration` names the wrong value. */
export function compilePolicy(options: PolicyOptions): Policy {
  const refusedPorts = options.refusedPorts ?? SMTP;
  for (const { from, to } of refusedPorts) {
    if (!Number.isInteger(from) || !Number.isInteger(to) || from < 1 || to > 65_535 || from > to) {
      throw invalid(`refusedPorts has ${from}-${to}; write ports from 1 to 65535, lower one first`);
    }
  }
  return {
    refusedPorts,
    refusedRanges: (options.refusedRanges ?? []).map((text) => parseRange('refusedRanges', text)),
    reachableRanges: (options.hazardousReachableRanges ?? []).map(parseReachableRange),
    isLoopbackReachable: options.hazardousReachableLoopback === 'only-in-tests',
  };
}

function invalid(message: string): AgentError {
  return new AgentError('invalid_configuration', `Egress guard: ${message}.`);
}

function parseRange(option: string, text: string): Range {
  const base = text.split('/')[0] ?? '';
  try {
    if (!text.includes('/')) throw new TypeError('no prefix length');
    readAddress(base);
    return IpAddr.parseCIDR(text);
  } catch (cause) {
    const message = `${option} has ${JSON.stringify(text)}; write a range such as 10.20.0.0/16`;
    throw new AgentError('invalid_configuration', `Egress guard: ${message}.`, { cause });
  }
}

/** A range may be opened when its first and last address are of one inner range, and it is in it. */
const OPENABLE: readonly Range[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  'fc00::/7',
].map((text) => IpAddr.parseCIDR(text));

function parseReachableRange(text: string): Range {
  const range = parseRange('hazardousReachableRanges', text);
  const [base, prefix] = range;
  const isInside = OPENABLE.some(
    ([outer, outerPrefix]) => prefix >= outerPrefix && isWithin(base, [[outer, outerPrefix]]),
  );
  if (isInside) return range;
  throw invalid(
    `hazardousReachableRanges has ${text}; only ranges within ${OPENABLE.map(([outer, bits]) => `${outer.toString()}/${bits}`).join(', ')} can be opened`,
  );
}

/** What can be refused before a name is looked up; undefined when the addresses decide. */
export function judgeTarget(
  target: Target,
  policy: Policy,
  jobPolicy: JobPolicy,
): Refusal | undefined {
  const { host, port } = target;
  if (target.kind === 'malformed') {
    return refuse('malformed-authority', `onejob cannot read "${host}": ${target.problem}.`);
  }
  const shown = showTarget(target);
  if (isNothingAllowed(jobPolicy)) {
    return refuse('policy-none', `onejob refuses ${shown}: this job may not use the network.`);
  }
  if (target.kind === 'unusual-address') {
    const { address, description } = classifyAddress(target.address);
    const sentence = `onejob refuses ${shown}: write addresses as four decimal numbers; it would be ${address}, ${description}.`;
    return { ...refuse('unusual-address-form', sentence), address };
  }
  if (policy.refusedPorts.some(({ from, to }) => port >= from && port <= to)) {
    return refuse('refused-port', `onejob refuses ${shown}: port ${port} is closed for jobs.`);
  }
  const named = target.kind === 'name' ? judgeName(host, shown) : undefined;
  if (named !== undefined || isOnAllowLists(target, jobPolicy)) return named;
  const sentence = `onejob refuses ${shown}: it is not on the allow-list of this job (the platform's, or ${EGRESS_KEY} in its workflow).`;
  return refuse('not-on-allow-list', sentence);
}

function judgeName(host: string, shown: string): Refusal | undefined {
  if (isLocalName(host)) {
    const sentence = `onejob refuses ${shown}: it is a name of a local network, not of the internet.`;
    return refuse('local-name', sentence);
  }
  const service = metadataServiceNamed(host);
  if (service === undefined) return undefined;
  return refuse('metadata-name', `onejob refuses ${shown}: it is the name of ${service}.`);
}

/** A name without a dot is looked up on a local network only; the others by their last part. */
function isLocalName(host: string): boolean {
  return !host.includes('.') || LOCAL_SUFFIXES.has(host.slice(host.lastIndexOf('.') + 1));
}

function refuse(rule: RefusalRule, reason: string): Refusal {
  return { verdict: 'refused', rule, reason };
}

/** `host:port` with brackets around IPv6, for sentences; the host alone where there is no port. */
export function showTarget(target: { host: string; port: number }): string {
  if (target.port === ANY_PORT) return target.host;
  return `${target.host.includes(':') ? `[${target.host}]` : target.host}:${target.port}`;
}

/**
 * Judges all addresses of a target together. A job hears what kind of address a name leads to, not
 * which one: the host's resolver may know the inside of its network.
 * @param addresses at least one, as text; throws a TypeError when one is not an address
 * @param ownAddresses the host's own at this moment, as text
 */
export function judgeAddresses(
  target: { host: string; port: number },
  addresses: readonly string[],
  policy: Policy,
  ownAddresses: readonly string[],
): Permission | Refusal {
  const host = ownAddresses.map(classifyAddress);
  const own = new Set(host.map(({ address }) => address));
  const isHostInCarrierGradeNat = host.some(({ kind }) => kind === 'carrier-grade-nat');
  let permission: Permission | undefined;
  for (const text of addresses) {
    const classified = classifyAddress(text);
    const verdict = judgeAddress(classified, policy, own, isHostInCarrierGradeNat);
    if (verdict.verdict === 'refused') {
      const isAsked = text === target.host;
      const reason = `onejob refuses ${showTarget(target)}: it ${isAsked ? 'is' : 'leads to'} ${verdict.what}.`;
      const refusal = refuse(verdict.rule, reason);
      return isAsked ? { ...refusal, address: classified.address } : refusal;
    }
    permission ??= verdict;
  }
  return permission ?? refuse('reserved-address', `onejob refuses ${showTarget(target)}.`);
}

type AddressRefusal = { verdict: 'refused'; rule: RefusalRule; what: string };

function refuseAddress(rule: RefusalRule, what: string): AddressRefusal {
  return { verdict: 'refused', rule, what };
}

function judgeAddress(
  { kind, address, description }: ClassifiedAddress,
  policy: Policy,
  own: ReadonlySet<string>,
  isHostInCarrierGradeNat: boolean,
): Permission | AddressRefusal {
  if (kind === 'metadata' || kind === 'embedded')
    return refuseAddress(`${kind}-address`, description);
  const parsed = readAddress(address);
  if (isWithin(parsed, policy.refusedRanges)) {
    return refuseAddress(
      'operator-refused-range',
      "an address in a range that this host's operator closed",
    );
  }
  if (kind === 'loopback' && policy.isLoopbackReachable) {
    return { verdict: 'allowed', rule: 'hazardous-reachable-loopback' };
  }
  if (own.has(address)) return refuseAddress('own-address', 'an address of the host itself');
  if (isWithin(parsed, policy.reachableRanges)) {
    return { verdict: 'allowed', rule: 'hazardous-reachable-range' };
  }
  if (kind === 'public') return { verdict: 'allowed', rule: 'public-address' };
  // On a host that lives in this range itself (a mesh, some clouds) it is the inside, not a carrier's.
  if (kind === 'carrier-grade-nat' && !isHostInCarrierGradeNat) {
    return { verdict: 'allowed', rule: 'carrier-grade-nat-address' };
  }
  return refuseAddress(`${kind}-address`, description);
}
