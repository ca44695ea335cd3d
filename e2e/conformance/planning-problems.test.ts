/** Conformance: what is refused before anything runs, and where. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('planning-problems');
