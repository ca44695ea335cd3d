/** Conformance: workflow commands in what steps say. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles('commands-lines');
