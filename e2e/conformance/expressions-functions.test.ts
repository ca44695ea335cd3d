/** Conformance: the functions of expressions. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('expressions-functions');
