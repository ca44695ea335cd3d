/** The post part of actions/cache: saves what was not found when the step ran. */
import { say } from '../toolkit/inputs.ts';
import { runAction } from '../toolkit/run-action.ts';
import { isSameKey } from './cache-keys.ts';
import { readRestored } from './state.ts';

await runAction(async () => {
  const restored = readRestored();
  if (restored.matched !== '' && isSameKey(restored.key, restored.matched)) {
    return say(`Cache hit occurred on the primary key ${restored.key}, not saving cache.`);
  }
  // The client is most of this program, and a hit needs none.
  const { save } = await import('./save-cache.ts');
  await save(restored.key);
});
