/** Conformance: the inputs and outputs of actions/checkout, as its own pages describe them. */
import { testCaseFile } from './run-cases.ts';

testCaseFile('checkout');
