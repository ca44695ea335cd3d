/** Conformance: how a workflow file is read. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('planning-yaml');
