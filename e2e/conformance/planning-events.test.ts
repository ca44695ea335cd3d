/** Conformance: which event starts a workflow, and its inputs. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('planning-events');
