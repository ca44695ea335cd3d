/** Revision 3: what a run's workflow says that is read and not applied yet. */
export const statements: readonly string[] = [
  `alter table runs add column warnings json not null default '[]'`,
];
