/** Conformance: whole runs: their names, permissions, inputs, concurrency groups and attempts. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles('planning-concurrency', 'planning-runs');
