/** Conformance: expressions, and matrices made of them. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles(
  'expressions-functions',
  'expressions-operators',
  'expressions-text',
  'planning-matrix',
);
