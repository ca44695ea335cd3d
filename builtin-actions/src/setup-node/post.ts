/** The post part of actions/setup-node: saves what the package manager has downloaded. */
import { say } from '../toolkit/inputs.ts';
import { runAction } from '../toolkit/run-action.ts';
import { readKept } from './dependency-state.ts';

await runAction(async () => {
  const kept = readKept();
  if (kept === undefined) return;
  if (kept.key === kept.matched) {
    return say(`Cache hit occurred on the primary key ${kept.key}, not saving cache.`);
  }
  const { saveDependencies } = await import('./dependency-cache.ts');
  await saveDependencies(kept);
});
