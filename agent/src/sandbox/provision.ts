/** What makes a sandbox without a job, for measurements. */
export { Journal } from './journal.ts';
export { ProvisionStack } from './stack.ts';
export { undoOn } from './undo.ts';
