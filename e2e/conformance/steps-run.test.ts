/** Conformance: shells, environments, directories and results of steps. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('steps-run');
