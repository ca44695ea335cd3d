/** Revision 9: the egress records of jobs. Column meanings: ../tables.ts. */
export const statements: readonly string[] = [
  `create table job_egress (
    job_id uuid primary key references jobs,
    records json not null,
    left_out bigint not null
  )`,
];
