/** Conformance: patterns of branches and tags. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('planning-globs');
