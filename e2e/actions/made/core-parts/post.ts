/** After the last step of the job: tells what main has left. */
import * as core from '@actions/core';

core.info(`post knows ${core.getState('began')} and ${core.getState('greeted')}`);
