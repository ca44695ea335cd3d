/** Conformance: problem matchers. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles('commands-matchers');
