/** Conformance: the cases that say `qemu: long`, in machines of their own: too many for every run. */
import { loadCases } from './case-file.ts';
import { testCases } from './run-cases.ts';

const cases = loadCases().filter(({ machines }) => machines === 'long tests');
testCases('in machines', 'qemu', cases);
