/** Conformance: the files a step writes to. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('commands-files');
