/** Conformance: matrices and their legs. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('planning-matrix');
