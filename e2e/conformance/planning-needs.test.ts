/** Conformance: jobs that need others. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('planning-needs');
