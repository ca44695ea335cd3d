/**
 * Networks of sandboxes in mode `nat`, made and taken away through the provisioning stack:
 *
 *     namespace, veth -> addresses -> resolver -> downlink, routes and rules within -> rules on the host
 *     adopted -> flows are followed -> opened, if the job may                    (undone by name)
 *
 * Promise: when `provision` resolves every wall stands, and nothing could use the network before; it
 * leads out from `open` on, and only for a job whose policy is `audit`; what fails on the way leaves
 * what the stack undoes; `close` records what the sandbox did and may be called twice. When what follows
 * the flows ends before that, the way out is shut: nothing goes there unrecorded. The host's forwarding
 * is never changed: a host that does not forward has no such mode.
 */
import { explainError } from '@onejob/protocol';
import type { Guard, GuardContext } from '../guard/guard.ts';
import { isAudit } from '../guard/job-policy.ts';
import { changePacketRules, runNetworkTool } from '../host/network-tool.ts';
import { superviseProcess, type SupervisedProcess } from '../host/supervised-process.ts';
import type { CardKind, MachineNetwork } from '../sandbox/driver.ts';
import type { ProvisionStack } from '../sandbox/stack.ts';
import { FlowRecorder, recordRefused, type FlowContext } from './flows.ts';
import { assertDone, runInside } from './inside.ts';
import {
  ADDRESS_ATTEMPTS,
  BURST_BYTES,
  BYTES_PER_SECOND,
  FLOW_BUFFER_BYTES,
  LAST_RECORDS_BYTES,
  LAST_RECORDS_TIMEOUT_MS,
} from './limits.ts';
import {
  anyPair,
  DOWNLINK,
  NAMESPACE_TABLE,
  namespacePath,
  networkNames,
  vethAlias,
  type AddressPair,
  type AddressPool,
  type NetworkNames,
  type NetworkPlan,
  type Rate,
} from './plan.ts';
import { startResolver, type SandboxResolver } from './resolver.ts';
import {
  addressCommands,
  insideScript,
  linkCommands,
  openingScript,
  outsideRules,
  shuttingScript,
} from './rules.ts';

/** Of a tool's own words, in a job's notes. */
const LAST_WORDS_CHARACTERS = 300;
const OWN_RATE: Rate = { bytesPerSecond: BYTES_PER_SECOND, burstBytes: BURST_BYTES };
const INSIDE = 'routes and packet rules of the namespace';
/** What conntrack says when flows came faster than it was read. */
const hasLostFlows = (following: SupervisedProcess): boolean =>
  following.tail().includes('ENOBUFS');
/** What no line of the tools is. */
const LAST_SEPARATOR = '\n====\n';
/** What was refused, and flows of both versions that have not ended. */
const LAST_SCRIPT = `
nft -j list table inet ${NAMESPACE_TABLE}
printf '${LAST_SEPARATOR.replaceAll('\n', String.raw`\n`)}'
conntrack -L -f ipv4 -o id
exec conntrack -L -f ipv6 -o id
`;

export type NetworksOptions = {
  hostMarker: string;
  guard: Pick<Guard, 'directAccess' | 'judgeDirect' | 'lookUp' | 'record'>;
  pool: AddressPool;
  /** Does the host forward IPv6, have somewhere to send it, and let it go there? */
  hasIpv6: boolean;
  /** Cards that cannot be made on this host, and why; by default each can. */
  missingCards?: MissingCards;
  /** By default OWN_RATE. */
  rate?: Rate;
};

export type MissingCards = Readonly<Partial<Record<CardKind, string>>>;

export type NetworkRequest = {
  /** Whose it is, and what that may reach: asked at each look-up, and when it is opened. */
  egress: GuardContext;
  /** How its machine gets an interface. */
  card: CardKind;
  /** Exists; where tools are started. */
  directory: string;
  signal: AbortSignal;
};

export type SandboxNetwork = {
  readonly machine: MachineNetwork;
  /** The addresses that the host sees of this sandbox, and its own one at the other end. */
  readonly address: string;
  readonly address6: string | undefined;
  readonly gateway: string;
  readonly gateway6: string;
  /** Of the host: the interface that leads to the sandbox, and the table of packet rules for it. */
  readonly veth: string;
  readonly table: string;
  /** Opens the way out for a job that may reach whatever the guard lets anybody reach. */
  open(signal: AbortSignal): Promise<void>;
  /**
   * Makes the last records; what of it fails is told, and keeps nothing from being buried.
   * @returns sentences for the job: what may be missing from its records, and why
   */
  close(): Promise<readonly string[]>;
};

export class SandboxNetworks {
  readonly #options: NetworksOptions;

  constructor(options: NetworksOptions) {
    this.#options = options;
  }

  /** Why no machine can have such a card here; undefined: it can. */
  whyNot(card: CardKind): string | undefined {
    return this.#options.missingCards?.[card];
  }

  async provision(request: NetworkRequest, stack: ProvisionStack): Promise<SandboxNetwork> {
    const { guard, hasIpv6, hostMarker } = this.#options;
    const { egress, signal } = request;
    const { sandboxId } = egress;
    const names = networkNames(sandboxId);
    await using undo = new AsyncDisposableStack();
    signal.throwIfAborted();
    // The veth comes with the namespace, in one run of ip, and goes with it; both are in the journal before.
    await stack.acquire({ kind: 'interface', sandboxId }, () => {});
    const pair = await stack.acquire(
      { kind: 'network_namespace', sandboxId },
      async () => await this.#makeLinks(names, request),
    );
    const resolver = await startResolver({
      ...{ outside: pair.outside, inside: pair.inside, hasIpv6 },
      lookUp: async (name) => await guard.lookUp(name, egress),
    });
    undo.use(resolver);
    const plan: NetworkPlan = {
      ...names,
      ...{ pair, hasIpv6, resolverPort: resolver.port },
      alias: vethAlias(hostMarker, sandboxId),
      card: request.card,
      access: guard.directAccess(),
      rate: this.#options.rate ?? OWN_RATE,
    };
    await runInside(namespacePath(names.namespace), INSIDE, insideScript(plan), signal);
    await stack.acquire({ kind: 'packet_rules', sandboxId }, async () => {
      assertDone('the packet rules of the host', await changePacketRules(outsideRules(plan)));
    });
    const flows = { egress, guard, nameOf: (address: string) => resolver.nameOf(address) };
    const recorder = new FlowRecorder(flows);
    const follow = async (): Promise<SupervisedProcess> =>
      await stack.acquire({ kind: 'process', role: 'flows', sandboxId }, () =>
        this.#follow(names, request, recorder),
      );
    undo.move();
    return new ProvisionedNetwork({ plan, resolver, recorder, follow, flows });
  }

  async #makeLinks(names: NetworkNames, { egress, signal }: NetworkRequest): Promise<AddressPair> {
    const { hostMarker, pool, hasIpv6 } = this.#options;
    const alias = vethAlias(hostMarker, egress.sandboxId);
    let commands = linkCommands({ ...names, alias });
    for (let attempt = 1; ; attempt += 1) {
      const pair = anyPair(pool);
      const input = [...commands, ...addressCommands({ veth: names.veth, pair, hasIpv6 }), ''];
      const made = await runNetworkTool('ip', ['-batch', '-'], { input: input.join('\n'), signal });
      if (made.exitCode === 0) return pair;
      const isTaken = /file exists/i.test(made.standardError);
      if (!isTaken || attempt === ADDRESS_ATTEMPTS) assertDone('namespace and veth', made);
      commands = [`addr flush dev ${names.veth}`];
    }
  }

  #follow(
    names: NetworkNames,
    { egress, directory }: NetworkRequest,
    recorder: FlowRecorder,
  ): SupervisedProcess {
    const events = ['-E', '-e', 'NEW,DESTROY', '-o', 'id', '-b', String(FLOW_BUFFER_BYTES)];
    const following = superviseProcess({
      command: 'nsenter',
      args: [`--net=${namespacePath(names.namespace)}`, '--', 'conntrack', ...events],
      hostMarker: this.#options.hostMarker,
      sandboxId: egress.sandboxId,
      directory,
      environment: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      onOutput: (chunk) => recorder.push(chunk.toString('latin1')),
      // It would go on without the flows that it has lost.
      onError: () => {
        if (hasLostFlows(following)) following.kill();
      },
    });
    return following;
  }
}

class ProvisionedNetwork implements SandboxNetwork {
  readonly machine: MachineNetwork;
  readonly address: string;
  readonly address6: string | undefined;
  readonly gateway: string;
  readonly gateway6: string;
  readonly veth: string;
  readonly table: string;

  readonly #plan: NetworkPlan;
  readonly #resolver: SandboxResolver;
  readonly #recorder: FlowRecorder;
  readonly #flows: FlowContext;
  readonly #follow: () => Promise<SupervisedProcess>;
  readonly #notes: string[] = [];
  #following: SupervisedProcess | undefined;
  #shutting: Promise<void> | undefined;
  #isClosing = false;
  #closing: Promise<readonly string[]> | undefined;

  constructor(parts: {
    plan: NetworkPlan;
    resolver: SandboxResolver;
    recorder: FlowRecorder;
    flows: FlowContext;
    follow: () => Promise<SupervisedProcess>;
  }) {
    const { namespace, hasIpv6, pair, veth, table } = parts.plan;
    this.machine = { namespacePath: namespacePath(namespace), device: DOWNLINK, hasIpv6 };
    this.address = pair.inside;
    this.address6 = hasIpv6 ? pair.inside6 : undefined;
    this.gateway = pair.outside;
    this.gateway6 = pair.outside6;
    this.veth = veth;
    this.table = table;

    this.#plan = parts.plan;
    this.#resolver = parts.resolver;
    this.#recorder = parts.recorder;
    this.#flows = parts.flows;
    this.#follow = parts.follow;
  }

  async open(signal: AbortSignal): Promise<void> {
    if (!isAudit(this.#flows.egress.policy())) return;
    const following = await this.#follow();
    this.#following = following;
    await runInside(this.machine.namespacePath, INSIDE, openingScript(this.#plan), signal);
    this.#shutting = following.exited.then(async ({ code, signal: killer }) => {
      if (hasLostFlows(following)) {
        return await this.#shut('it lost some, it was read too slowly');
      }
      const lastWords = following.tail().trim().slice(-LAST_WORDS_CHARACTERS);
      await this.#shut(killer ?? `exit status ${code}, ${lastWords}`);
    });
  }

  close(): Promise<readonly string[]> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Nobody writes down any more what the sandbox connects to. Never rejects. */
  async #shut(why: string): Promise<void> {
    if (this.#isClosing) return;
    this.#notes.push(
      `Egress: what records this job's own connections (conntrack) ended: ${why}. Its direct way out was shut then, and the proxy alone led on; what was open may be recorded without its bytes.`,
    );
    const enter = [`--net=${this.machine.namespacePath}`, '--', 'sh'];
    const said = await runNetworkTool('nsenter', enter, { input: shuttingScript(this.#plan) }).then(
      ({ exitCode, standardError }) => (exitCode === 0 ? undefined : standardError),
      explainError,
    );
    if (said === undefined) return;
    // Then from the other end, its look-ups with it.
    const down = ['link', 'set', 'dev', this.veth, 'down'];
    const cut = await runNetworkTool('ip', down).then(
      ({ exitCode }) => exitCode === 0,
      () => false,
    );
    if (cut) return;
    this.#notes.push(
      `Egress: the direct way out could not be shut, and what went there later is in no record: ${said.trim()}.`,
    );
  }

  async #close(): Promise<readonly string[]> {
    this.#isClosing = true;
    this.#following?.kill();
    await this.#following?.exited;
    await this.#shutting;
    try {
      const [refused = '', flows = ''] = (await this.#readLast()).split(LAST_SEPARATOR);
      this.#recorder.finish(flows);
      recordRefused(refused, this.#flows);
    } finally {
      await this.#resolver[Symbol.asyncDispose]();
    }
    return this.#notes;
  }

  async #readLast(): Promise<string> {
    const enter = [`--net=${this.machine.namespacePath}`, '--', 'sh'];
    const limits = { timeoutMs: LAST_RECORDS_TIMEOUT_MS, outputBytes: LAST_RECORDS_BYTES };
    const last = await runNetworkTool('nsenter', enter, { input: LAST_SCRIPT, ...limits });
    if (last.exitCode !== 0) {
      this.#notes.push(
        "Egress: what this job's own interface had open or was refused at its end could not be read whole; some of it may be missing from the records.",
      );
    }
    return last.standardOutput;
  }
}
