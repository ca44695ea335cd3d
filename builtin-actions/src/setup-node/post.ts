/** The post part of actions/setup-node: saves what the package manager has downloaded. */
import { runAction } from '../toolkit/run-action.ts';
import { saveDependencies } from './dependency-cache.ts';

await runAction(saveDependencies);
