/** actions/cache, as its README has it since version 4: its main part restores. */
import { runAction } from '../toolkit/run-action.ts';
import { restore } from './restore-cache.ts';
import { rememberKey } from './state.ts';

await runAction(async () => await restore(rememberKey));
