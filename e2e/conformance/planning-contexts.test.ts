/** Conformance: contexts where they are allowed, and nowhere else. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('planning-contexts');
