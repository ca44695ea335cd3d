/** Conformance: the files of steps. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles('commands-files');
