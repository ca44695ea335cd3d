/**
 * What the host's own connection tracking knows of a sandbox: an entry for each of its flows, in a table
 * that everybody on the host shares, and some stay there for days. They go with the sandbox, also where
 * nothing but its packet rules is left to say its addresses.
 */
import type { SandboxId } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import { deleteTable, type Table } from '../host/network-things.ts';
import { findTool } from '../host/short-tool.ts';
import { runNetworkTool } from '../host/network-tool.ts';
import { networkNames } from './plan.ts';
import { ADDRESSES_CHAIN } from './rules.ts';

/** conntrack's exit status is 1 then, as if something had failed. */
const NOTHING_THERE = /\b0 flow entries have been deleted/;

/**
 * The packet rules of a sandbox on the host, and before them the entries of its flows: what fails leaves
 * the rules, so that the next attempt finds the addresses. May be called again.
 */
export async function deleteHostTable(sandboxId: SandboxId, table: Table): Promise<void> {
  const addresses = await addressesIn(table);
  if (addresses.length > 0) {
    // Else what it still sends would make new ones. It may be gone already.
    await runNetworkTool('ip', ['link', 'set', 'dev', networkNames(sandboxId).veth, 'down']);
  }
  for (const address of addresses) await forgetFlows(address);
  await deleteTable(table);
}

/** The sandbox's, by the rules that translate them; none where there is no such table. */
async function addressesIn({ family, name }: Table): Promise<string[]> {
  if ((await findTool('nft')) === undefined) return [];
  const listed = await runNetworkTool('nft', ['list', 'chain', family, name, ADDRESSES_CHAIN]);
  return Array.from(
    listed.standardOutput.matchAll(/\bip6? saddr (\S+)/g),
    (match) => match[1] ?? '',
  );
}

async function forgetFlows(address: string): Promise<void> {
  const version = address.includes(':') ? 'ipv6' : 'ipv4';
  const result = await runNetworkTool('conntrack', ['-D', '-f', version, '-s', address]);
  if (result.exitCode === 0 || NOTHING_THERE.test(result.standardError)) return;
  const said = result.standardError.trim() || `it ended with ${result.exitCode}`;
  throw new AgentError(
    'boot_failed',
    `What this host's connection tracking knows of ${address}, a sandbox's address, could not be deleted: ${said}.`,
  );
}
