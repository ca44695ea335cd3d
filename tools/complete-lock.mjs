/**
 * `node tools/complete-lock.mjs`, to be run after every `npm install` that changed the lock file: adds
 * the optional packages of other platforms that npm left out. Why: tools/lock/optional-packages.mjs.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { completeLock, missingOptionalPackages } from './lock/optional-packages.mjs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const missing = missingOptionalPackages(lock);
if (missing.length > 0) writeFileSync(file, `${JSON.stringify(completeLock(lock), null, 2)}\n`);
process.stdout.write(`${missing.length} entries added to package-lock.json\n`);
