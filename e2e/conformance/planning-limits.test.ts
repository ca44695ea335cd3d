/** Conformance: limits of workflow files, of their jobs and of what they call. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('planning-limits');
