/**
 * Revision 7: attempts of runs. Column meanings: ../tables.ts. A job belongs to every attempt from its
 * own to its last one; of each leg of a job at most one belongs to the attempt that goes on.
 */
export const statements: readonly string[] = [
  `alter table runs
    add column attempt int not null default 1,
    add column started_at_ms bigint,
    add column triggering_actor text,
    add column debug boolean not null default false,
    add column secret_names json not null default '[]'`,
  `update runs set started_at_ms = created_at_ms, triggering_actor = actor`,
  `alter table runs
    alter column started_at_ms set not null,
    alter column triggering_actor set not null`,
  `create table run_attempts (
    run_id uuid not null references runs,
    attempt int not null,
    triggering_actor text not null,
    conclusion text not null,
    started_at_ms bigint not null,
    finished_at_ms bigint not null,
    primary key (run_id, attempt)
  )`,
  `alter table jobs
    add column last_attempt int,
    drop constraint jobs_run_id_key_leg_index_key,
    add unique (run_id, key, leg_index, attempt)`,
  `create unique index jobs_of_last_attempt on jobs (run_id, key, leg_index)
    where last_attempt is null`,
  `alter table planned_jobs
    add column attempt int not null default 1,
    add column last_attempt int,
    drop constraint planned_jobs_pkey,
    add primary key (run_id, key, attempt)`,
];
