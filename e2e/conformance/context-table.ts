/** The documentation's table of contexts and special functions, as data: `context-table.yml`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export type ContextRow = {
  key: string;
  /** Where the key is: beside others of a workflow, a job, a job that calls, or a step. */
  workflow?: object;
  job?: object;
  call?: object;
  step?: object;
  /** Contexts and special functions. */
  sees: string[];
  /** What onejob lets pass there too, and why. */
  deviation?: { also: string[]; why: string };
};

export const CONTEXT_TABLE = parse(
  readFileSync(join(import.meta.dirname, 'context-table.yml'), 'utf8'),
) as ContextRow[];
