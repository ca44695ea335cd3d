/**
 * Where a repository rule does not hold, and why. An entry that nothing needs any more fails the
 * check.
 */

import type { Exception } from './rule.ts';

export const EXCEPTIONS: readonly Exception[] = [
  {
    rule: 'imports',
    file: 'workflow/src/parse/import-schema.ts',
    subject: 'node:module',
    reason:
      'the workflow parser imports its JSON without the attribute Node asks for; a load hook adds it while that one module loads',
  },
  {
    rule: 'environment',
    file: 'prove/src/probe/probe.mjs',
    subject: 'process.env',
    reason: 'it is a script of a job: its variables are what a job gets, and nothing of onejob',
  },
  {
    rule: 'environment',
    file: 'prove/src/probe/flood.mjs',
    subject: 'process.env',
    reason: 'it is a script of a job, too',
  },
  {
    rule: 'function-length',
    file: 'agent/tests/_fake-control-plane.ts',
    reason: 'one table of routes: a line or two for each call of the agent protocol',
  },
];
