/** Before the first step of the job: remembers that it was there. */
import * as core from '@actions/core';

core.info(`pre of ${core.getInput('who')}`);
core.saveState('began', 'by pre');
