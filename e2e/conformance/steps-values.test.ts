/** Conformance: secrets, variables, outputs and conditions as steps see them. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('steps-values');
