/**
 * Programs that know no proxy, in a sandbox that has a network namespace and no interface: what init does in
 * a machine (image/src/guest/network.c), the host does here, since the sandbox has no right to.
 *
 *     name -> the runner's resolver, at an address of its own -> made-up address
 *     TCP to any address but 127.0.0.0/8 -> local, on lo -> the runner's port (image/src/guest/steer.c)
 *     UDP, ICMP to any address -> no route: "Network is unreachable", at once
 *
 * All of it goes with the namespace.
 */
import { explainError, MACHINE } from '@onejob/protocol';
import { openNetworkNamespace, type SandboxProcesses } from '../host/network-namespace.ts';
import { NETWORK_PACKAGES, runNetworkTool } from '../host/network-tool.ts';
import { runInside } from './inside.ts';
import { ENDED_SECONDS, HALF_CLOSED_SECONDS, STEERED_FLOWS, STEERED_PER_SECOND } from './limits.ts';

const { resolver, port } = MACHINE.steering;
/** Of a tool's complaint. */
const SAID_CHARACTERS = 200;
const often = `${STEERED_PER_SECOND}/second burst ${STEERED_PER_SECOND} packets`;

/**
 * All addresses are of the table `local`: an answer of the runner's has to come from where it was asked.
 * Who looks there is said by the rules, of which the kernel's own would send everything.
 */
const ROUTES = `
link set lo up
route add local default dev lo src 127.0.0.1 table local
rule add to 127.0.0.0/8 lookup local priority 10
rule add to ${resolver} lookup local priority 10
rule add ipproto tcp lookup local priority 20
rule del priority 0`;

/**
 * Connection tracking is the host kernel's memory, which no group is charged for. So nothing is tracked but what
 * is steered, and what answers it: whatever the job's programs say to each other and to the resolver, by
 * whatever address, leaves nothing there; nor does what a program with CAP_NET_RAW puts on lo, past all output.
 */
const RULES = `
table ip onejob_steering {
  set own { type ipv4_addr; flags interval; elements = { 127.0.0.0/8, ${resolver} }; }
  chain untracked {
    type filter hook output priority raw; policy accept;
    ip saddr 127.0.0.0/8 ip daddr != @own meta l4proto tcp accept
    ip saddr != @own ip daddr 127.0.0.0/8 tcp sport ${port} accept
    notrack
  }
  chain arriving {
    type filter hook prerouting priority raw; policy accept;
    notrack
  }
  chain steered {
    type nat hook output priority -100; policy accept;
    ip daddr != @own meta l4proto tcp dnat to :${port}
  }
  chain limited {
    type filter hook output priority filter; policy accept;
    ct state new limit rate over ${often} reject with tcp reset
    ct state new ct count over ${STEERED_FLOWS} reject with tcp reset
  }
}`;

/**
 * For `sh -e` within the namespace; the settings are there once the rules are, but on kernels of 2019 to 2021
 * in a namespace of another user's: those keep what ended for longer. Nothing that began untracked is
 * taken for steered in its middle (`tcp_loose`).
 */
const SCRIPT = `
for tool in ip:${NETWORK_PACKAGES.ip} nft:${NETWORK_PACKAGES.nft}; do
  test -n "$(command -v \${tool%:*})" || {
    echo "\${tool%:*} is not installed: apt-get install \${tool#*:}" >&2
    exit 1
  }
done
ip -batch - <<\\END${ROUTES}
END
nft -f - <<\\END${RULES}
END
cd /proc/sys/net/netfilter
set_to() { test ! -w "$1" || echo "$2" > "$1"; }
set_to nf_conntrack_tcp_loose 0
set_to nf_conntrack_tcp_timeout_close_wait ${HALF_CLOSED_SECONDS}
set_to nf_conntrack_tcp_timeout_time_wait ${ENDED_SECONDS}
set_to nf_conntrack_tcp_timeout_close ${ENDED_SECONDS}
`;

/**
 * Why this host cannot do it, in a few words; undefined: it can. Tried in a namespace of its own, of which nothing
 * is left but modules that a kernel may have loaded for the rules.
 */
export async function whyNotSteered(): Promise<string | undefined> {
  try {
    const tried = await runNetworkTool('unshare', ['--net', '--', 'sh', '-e'], { input: SCRIPT });
    if (tried.exitCode === 0) return undefined;
    const [said = ''] = tried.standardError.trim().split('\n');
    return said.slice(0, SAID_CHARACTERS) || (tried.timedOut ? 'a trial hangs' : 'a trial fails');
  } catch (error) {
    return explainError(error);
  }
}

/** Why they are not, as `whyNotSteered`; then such programs reach nothing. */
export async function steerConnections(
  sandbox: SandboxProcesses,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    await using namespace = await openNetworkNamespace(sandbox);
    const path = `/proc/${process.pid}/fd/${namespace.fd}`;
    await runInside(path, 'ways of programs that know no proxy', SCRIPT, signal);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return explainError(error);
  }
}
