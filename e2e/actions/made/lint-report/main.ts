/** Adds the matcher that lies beside it, and prints lines that it finds problems in. */
import { join } from 'node:path';
import * as core from '@actions/core';

core.info(`::add-matcher::${join(__dirname, '..', 'lint.json')}`);
for (const line of core.getInput('report', { trimWhitespace: false }).split('\n')) core.info(line);
