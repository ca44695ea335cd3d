/** Conformance: what the parts of an action have of the step that uses it, and how they end. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('actions-parts');
