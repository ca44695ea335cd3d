/** Conformance: problem matchers. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('commands-matchers');
