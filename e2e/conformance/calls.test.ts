/** Conformance: jobs that need others, and workflows that are called. */
import { testCaseFiles } from './run-cases.ts';

testCaseFiles('planning-needs', 'planning-calls');
