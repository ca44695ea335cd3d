/** actions/cache/save, as its README has it since version 4: it saves whatever was restored. */
import { warning } from '@actions/core';
import { runAction } from '../../toolkit/run-action.ts';
import { save } from '../save-cache.ts';

await runAction(async () => {
  if (!(await save(''))) warning('Cache save failed.');
});
