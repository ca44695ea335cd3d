/**
 * The secrets of a job: those of its run, or of what its caller passed on. They are opened and
 * evaluated each time they are asked for and stored nowhere in clear.
 */
import { isDebugSwitch } from '@onejob/masking';
import { callSecrets, PlanError } from '@onejob/workflow';
import type { Vault } from '../credentials.ts';
import { callerIn } from '../runs/open-call.ts';
import { keysSeenBy, legOf, RunState } from '../runs/run-state.ts';
import type { RunRow } from '../runs/run-contexts.ts';
import { scopeOf } from '../runs/job-keys.ts';
import type { Tx } from '../store/store.ts';

/** What every job has under this name is its own token. */
const TOKEN_NAME = 'GITHUB_TOKEN';

export type JobSecrets = {
  /** As the job's `secrets` context has them. */
  own: Record<string, string>;
  /** Values that must not be seen: of the whole run too. */
  values: string[];
  /** Why what a caller passes on does not evaluate, with its place; then the job has none. */
  problem: string | null;
};

/** The rows that a job sees, as a state of their own. */
export async function stateSeenBy(tx: Tx, run: RunRow, key: string): Promise<RunState> {
  const keys = keysSeenBy(run, key);
  const rows =
    keys.length === 0
      ? []
      : await tx.db
          .selectFrom('jobs')
          .selectAll()
          .where('run_id', '=', run.id)
          .where('key', 'in', keys)
          .where('last_attempt', 'is', null)
          .orderBy('place')
          .execute();
  return new RunState(run, rows);
}

/**
 * @param state of the rows the job sees
 * @param token the job's own; empty where it is not known any more
 */
export async function secretsOf(
  tx: Tx,
  state: RunState,
  key: string,
  parts: { vault: Vault; token: string },
): Promise<JobSecrets> {
  const ofRun = Object.fromEntries(await openSecrets(tx, state.run.id, parts.vault));
  const { own, problem } = ownSecrets(state, key, ofRun, parts.token);
  const hidden = [...Object.entries(ofRun), ...Object.entries(own)]
    .filter(([name, value]) => !isDebugSwitch(name, value))
    .map(([, value]) => value);
  const values = new Set([...hidden, parts.token]);
  values.delete('');
  return { own, values: [...values], problem };
}

function ownSecrets(
  state: RunState,
  key: string,
  ofRun: Record<string, string>,
  token: string,
): Pick<JobSecrets, 'own' | 'problem'> {
  if (scopeOf(key) === '') return { own: ofRun, problem: null };
  try {
    const { [TOKEN_NAME]: _, ...own } = passedTo(state, scopeOf(key), ofRun, token);
    return { own, problem: null };
  } catch (error) {
    if (!(error instanceof PlanError)) throw error;
    return { own: {}, problem: error.message };
  }
}

/** Down the chain of callers: each sees only what the one before passed on. */
function passedTo(
  state: RunState,
  scope: string,
  ofRun: Record<string, string>,
  token: string,
): Record<string, string> {
  const caller = state.caller(scope);
  const place = caller === undefined ? undefined : state.place(caller.key);
  if (caller === undefined || place === undefined) return ofRun;
  const above = passedTo(state, place.scope, ofRun, token);
  const { matrix, strategy } = legOf(caller);
  const sees = { ...state.planScope(place), matrix, strategy };
  return callSecrets(callerIn(place), { ...above, [TOKEN_NAME]: token }, sees);
}

async function openSecrets(
  tx: Tx,
  runId: string,
  vault: Vault,
): Promise<[name: string, value: string][]> {
  const rows = await tx.db
    .selectFrom('run_secrets')
    .selectAll()
    .where('run_id', '=', runId)
    .orderBy('name')
    .execute();
  return rows.map((row) => [row.name, vault.open(row.sealed, { runId, name: row.name })]);
}
