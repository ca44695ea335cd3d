/** Text from outside as the database takes it: PostgreSQL has no NUL in text. */
export const storable = (text: string): string => text.replaceAll('\0', '\ufffd');

/** The same for every text of a row. */
export function storableRow<Row extends object>(row: Row): Row {
  const entries = Object.entries(row).map(([column, value]: [string, unknown]) => [
    column,
    typeof value === 'string' ? storable(value) : value,
  ]);
  return Object.fromEntries(entries) as Row;
}
