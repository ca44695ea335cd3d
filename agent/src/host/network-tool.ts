/**
 * The tools of the host's network: found in the system's directories, as many at a time as there are
 * cores: more gain nothing.
 *
 * Changes of the host's packet rules go one after the other: the kernel lets one in, and has another that
 * began before start again. Those that come meanwhile are made together, in the order they came, as one
 * transaction; where that fails each is made by itself, so that nobody fails for another's mistake.
 */
import { availableParallelism } from 'node:os';
import { AgentError } from '../errors.ts';
import { Slots } from '../slots.ts';
import { findTool, runTool, type ToolResult } from './short-tool.ts';

/** Program, and the Debian package it comes from. */
export const NETWORK_PACKAGES = {
  ip: 'iproute2',
  nft: 'nftables',
  conntrack: 'conntrack',
  nsenter: 'util-linux',
  unshare: 'util-linux',
} as const;

/** One run takes milliseconds, and a second on a host that is busy. */
const TOOL_TIMEOUT_MS = 20_000;
const slots = new Slots(availableParallelism());
const NEVER = new AbortController().signal;

/** @throws AgentError `tool_missing` */
export async function runNetworkTool(
  name: keyof typeof NETWORK_PACKAGES,
  args: readonly string[],
  options: { input?: string; signal?: AbortSignal; timeoutMs?: number; outputBytes?: number } = {},
): Promise<ToolResult> {
  const path = await findTool(name);
  if (path === undefined) {
    const message = `${name} is not installed: apt-get install ${NETWORK_PACKAGES[name]}`;
    throw new AgentError('tool_missing', message);
  }
  using _slot = await slots.take(options.signal ?? NEVER);
  return await runTool(path, args, { timeoutMs: TOOL_TIMEOUT_MS, ...options });
}

type Change = { text: string; result: PromiseWithResolvers<ToolResult> };
const waiting: Change[] = [];
let isChanging = false;

/**
 * Changes the packet rules of this agent's own network namespace; all of `text` or nothing of it.
 * @throws AgentError `tool_missing`
 */
export async function changePacketRules(text: string): Promise<ToolResult> {
  const change = { text, result: Promise.withResolvers<ToolResult>() };
  waiting.push(change);
  if (!isChanging) void changeAll();
  return await change.result.promise;
}

/** Until nobody waits. Never rejects. */
async function changeAll(): Promise<void> {
  isChanging = true;
  while (waiting.length > 0) {
    const changes = waiting.splice(0);
    const text = changes.map((one) => one.text).join('\n');
    const all = changes.length > 1 ? await load(text).catch(() => undefined) : undefined;
    for (const one of changes) {
      if (all?.exitCode === 0) one.result.resolve(all);
      else await load(one.text).then(one.result.resolve, one.result.reject);
    }
  }
  isChanging = false;
}

const load = async (input: string): Promise<ToolResult> =>
  await runNetworkTool('nft', ['-f', '-'], { input });
