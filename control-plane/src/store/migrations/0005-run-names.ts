/** Revision 5: what people call a run. Runs from before are called by their workflow. */
export const statements: readonly string[] = [
  `alter table runs add column name text not null default ''`,
  `update runs set name = workflow_name`,
];
