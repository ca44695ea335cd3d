/** Conformance: composite and JavaScript actions of the repository. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('actions');
