/** Conformance: the cases that say `qemu: true`, in machines of their own. */
import { loadCases } from './case-file.ts';
import { testCases } from './run-cases.ts';

const cases = loadCases().filter(({ machines }) => machines === 'all tests');
testCases('in machines', 'qemu', cases);
