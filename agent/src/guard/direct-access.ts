/**
 * What a sandbox with an interface of its own may reach without asking the guard. Pure. Promises: it is
 * never more than the guard would let anybody reach; and where the job's policy is other than `audit`
 * it is nothing, because packets have addresses, and policies have names.
 */
import { classifyAddress } from './address.ts';
import { closedRanges, type ClosedRanges } from './closed-ranges.ts';
import { isAudit, isNothingAllowed, type JobPolicy } from './job-policy.ts';
import type { GuardLimits } from './limits.ts';
import {
  judgeAddresses,
  showTarget,
  type Permission,
  type Policy,
  type Refusal,
} from './policy.ts';

type Ports = { readonly from: number; readonly to: number };

/** Everything but these ranges and ports, where the policy is `audit`; within the guard's limits. */
export type DirectAccess = {
  closed: ClosedRanges;
  closedPorts: readonly Ports[];
  limits: GuardLimits;
};

/** `host`: the name that led to the address, or the address. */
export type DirectTarget = { host: string; address: string; port: number };

/** DNS and DNS over TLS: names are asked of the agent's resolver, and of nobody else. */
const NAME_PORTS: readonly Ports[] = [
  { from: 53, to: 53 },
  { from: 853, to: 853 },
];

export const directAccess = (
  policy: Policy,
  limits: GuardLimits,
  ownAddresses: readonly string[],
): DirectAccess => ({
  closed: closedRanges(policy, ownAddresses),
  closedPorts: [...NAME_PORTS, ...policy.refusedPorts],
  limits,
});

/** What an operator opened by its hazardous options is open through the guard, and not directly. */
export function judgeDirect(
  target: DirectTarget,
  policy: Policy,
  jobPolicy: JobPolicy,
  ownAddresses: readonly string[],
): Permission | Refusal {
  const plain = { ...policy, reachableRanges: [], isLoopbackReachable: false };
  const judged = judgeAddresses(target, [target.address], plain, ownAddresses);
  if (judged.verdict === 'refused') return judged;
  const { address } = classifyAddress(target.address);
  const refuse = (rule: Refusal['rule'], why: string): Refusal => ({
    ...{ verdict: 'refused', rule, address },
    reason: `onejob refuses ${showTarget(target)}: ${why}.`,
  });
  if (isNothingAllowed(jobPolicy)) return refuse('policy-none', 'this job may not use the network');
  if (!isAudit(jobPolicy)) {
    const why =
      'under an allow-list the proxy alone leads out (the variables http_proxy and https_proxy)';
    return refuse('not-through-proxy', why);
  }
  const isClosed = [...NAME_PORTS, ...policy.refusedPorts].some(
    ({ from, to }) => target.port >= from && target.port <= to,
  );
  if (isClosed) return refuse('refused-port', `port ${target.port} is closed for jobs`);
  return judged;
}
