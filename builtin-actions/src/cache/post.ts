/** The post part of actions/cache: saves what was not found when the step ran. */
import { runAction } from '../toolkit/run-action.ts';
import { save } from './save-cache.ts';
import { readRestored } from './state.ts';

await runAction(async () => {
  await save(readRestored());
});
