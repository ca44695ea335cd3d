/** Revision 4: workflows that a run's workflow calls, and jobs in the order of all of them. */
export const statements: readonly string[] = [
  `alter table runs
    add column called_workflows json not null default '{}',
    add column referenced_workflows json not null default '[]'`,
  `alter table jobs
    add column opened_call json,
    add column place int[] not null default '{}'`,
  `update jobs set place = array[position, leg_index]`,
];
