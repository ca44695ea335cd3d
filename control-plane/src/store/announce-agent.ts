/** Agents: who they are, what their hosts offer, when they were last heard. */
import type { Selectable } from 'kysely';
import { isUuid, newAgentId } from '@onejob/protocol';
import { hashCredential, mintCredential } from '../credentials.ts';
import { AGENT_OFFLINE_MS } from '../limits.ts';
import { mayBeLost, type Store, type Tx, type Writer } from './store.ts';
import type { AgentsTable, StoredDriver } from './tables.ts';

export type AgentRow = Selectable<AgentsTable>;

/** Named one by one: a prepared statement fails for good when a newer onejob adds a column to `*`. */
const COLUMNS = [
  'id',
  'host_name',
  'labels',
  'drivers',
  'slots',
  'free_slots',
  'cpus',
  'memory_bytes',
  'version',
  'credential_hash',
  'drain',
  'announced_at_ms',
  'last_seen_at_ms',
] as const satisfies readonly (keyof AgentRow)[];

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

/** Counts every agent as offline until it calls: of a closed fleet's earlier process none is left. */
export async function forgetPresence(store: Store): Promise<void> {
  const offlineMs = store.clock.nowMs() - AGENT_OFFLINE_MS;
  await store.db
    .updateTable('agents')
    .set({ last_seen_at_ms: offlineMs })
    .where('last_seen_at_ms', '>', offlineMs)
    .execute();
}

/** The agent with this credential; undefined: nobody. */
export async function findAgent(store: Store, credential: string): Promise<AgentRow | undefined> {
  const query = store.db
    .selectFrom('agents')
    .select(COLUMNS)
    .where('credential_hash', '=', hashCredential(credential));
  return (await store.run(query.compile()))[0];
}

/** No id of ours: those have a version. */
const NO_ID = '00000000-0000-0000-0000-000000000000';

/** The same, with the tenant of a job that it asks for; null: there is no such job. */
export async function findAgentAndTenant(
  store: Store,
  credential: string,
  jobId: string,
): Promise<{ agent: AgentRow; tenant: string | null } | undefined> {
  const query = store.db
    .selectFrom('agents')
    .select(COLUMNS)
    .select((of) => [
      of
        .selectFrom('jobs')
        .select('tenant')
        .where('id', '=', isUuid(jobId) ? jobId : NO_ID)
        .as('tenant'),
    ])
    .where('credential_hash', '=', hashCredential(credential));
  const [found] = await store.run(query.compile());
  if (found === undefined) return undefined;
  const { tenant, ...agent } = found;
  return { agent, tenant };
}

/** Notes that an agent called; undefined: nobody has this credential. */
export async function touchAgent(
  writer: Writer,
  credentialHash: string,
  freeSlots: number,
  options: { mayBeLost: boolean },
): Promise<AgentRow | undefined> {
  const query = writer.db
    .updateTable('agents')
    .set({ last_seen_at_ms: writer.nowMs, free_slots: freeSlots })
    .where('credential_hash', '=', credentialHash)
    .$if(options.mayBeLost, (update) => update.where(mayBeLost))
    .returning(COLUMNS);
  return (await writer.run(query.compile()))[0];
}
