/** Conformance: workflow commands in the output of a step. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('commands-lines');
