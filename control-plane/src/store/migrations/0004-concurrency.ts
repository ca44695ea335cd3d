/**
 * Revision 4: concurrency groups. Column meanings: ../tables.ts. At most one member of a group holds
 * it, whatever a program believes: an index sees to that.
 */
export const statements: readonly string[] = [
  `alter table runs
    add column grouped boolean not null default false,
    add column cancel_reason text,
    add column cancel_message text not null default ''`,
  `alter table jobs add column cancel_message text not null default ''`,
  `create table concurrency_members (
    id bigserial primary key,
    run_id uuid not null references runs,
    job_id uuid references jobs,
    repository text not null,
    group_key text not null,
    group_name text not null,
    holds boolean not null
  )`,
  `create unique index concurrency_holders on concurrency_members (repository, group_key)
    where holds`,
  `create index concurrency_groups on concurrency_members (repository, group_key, id)`,
  `create unique index concurrency_of_runs on concurrency_members (run_id) where job_id is null`,
  `create unique index concurrency_of_jobs on concurrency_members (job_id)
    where job_id is not null`,
  `create index concurrency_in_runs on concurrency_members (run_id)`,
];
