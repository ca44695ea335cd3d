/** actions/cache/restore, as its README has it since version 4. */
import { setOutput } from '@actions/core';
import { runAction } from '../../toolkit/run-action.ts';
import { restore } from '../restore-cache.ts';

await runAction(async () => await restore((what, key) => setOutput(`cache-${what}-key`, key)));
