/** Conformance: which event starts what, and what is known before anything runs. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles(
  'planning-contexts',
  'planning-events',
  'planning-globs',
  'planning-limits',
  'planning-paths',
  'planning-problems',
  'planning-yaml',
);
