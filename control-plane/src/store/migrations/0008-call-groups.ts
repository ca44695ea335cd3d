/**
 * Revision 8: concurrency groups of calls. A call may be in two groups at a time: that of the job that
 * calls, and that of the workflow it calls. Column meanings: ../tables.ts.
 */
export const statements: readonly string[] = [
  `alter table concurrency_members add column part text not null default 'whole'
    check (part in ('whole', 'caller', 'called'))`,
  `drop index concurrency_of_jobs`,
  `create unique index concurrency_of_jobs on concurrency_members (job_id, part)
    where job_id is not null`,
];
