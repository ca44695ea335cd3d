/** Agents: who they are, what their hosts offer, when they were last heard. */
import type { Selectable } from 'kysely';
import { newAgentId } from '@onejob/protocol';
import { hashCredential, mintCredential } from '../credentials.ts';
import type { Store, Tx } from './store.ts';
import type { AgentsTable, StoredDriver } from './tables.ts';

export type AgentRow = Selectable<AgentsTable>;

/** Stores what an agent says of itself; its older credential is void from now on. */
export async function announceAgent(
  tx: Tx,
  agent: {
    hostName: string;
    labels: string[];
    drivers: StoredDriver[];
    slots: number;
    cpus: number;
    memoryBytes: number;
    version: string;
  },
): Promise<{ row: AgentRow; credential: string }> {
  const credential = mintCredential();
  const said = {
    labels: [...new Set(agent.labels.map((label) => label.toLowerCase()))],
    drivers: JSON.stringify(agent.drivers),
    slots: agent.slots,
    free_slots: agent.slots,
    cpus: agent.cpus,
    memory_bytes: agent.memoryBytes,
    version: agent.version,
    credential_hash: hashCredential(credential),
    announced_at_ms: tx.nowMs,
    last_seen_at_ms: tx.nowMs,
  };
  const row = await tx.db
    .insertInto('agents')
    .values({ ...said, id: newAgentId(tx.nowMs), host_name: agent.hostName, drain: false })
    .onConflict((conflict) => conflict.column('host_name').doUpdateSet(said))
    .returningAll()
    .executeTakeFirstOrThrow();
  tx.announce({ topic: 'queue' });
  return { row, credential };
}

/** The agent with this credential; undefined: nobody. */
export async function findAgent(store: Store, credential: string): Promise<AgentRow | undefined> {
  return await store.db
    .selectFrom('agents')
    .selectAll()
    .where('credential_hash', '=', hashCredential(credential))
    .executeTakeFirst();
}

/** Notes that an agent called. */
export async function touchAgent(tx: Tx, agentId: string, freeSlots: number): Promise<void> {
  await tx.db
    .updateTable('agents')
    .set({ last_seen_at_ms: tx.nowMs, free_slots: freeSlots })
    .where('id', '=', agentId)
    .execute();
}
