/** The step itself: inputs, outputs, state, annotations, summary. */
import * as core from '@actions/core';

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : '');

async function run(): Promise<void> {
  const who = core.getInput('who', { required: true });
  const loud = core.getBooleanInput('loud');
  const lines = core.getMultilineInput('lines');
  core.setSecret(`${core.getInput('key')}-derived`);
  core.info(`key ${core.getInput('key')}-derived`);
  core.info(`state ${core.getState('began')}`);
  core.saveState('greeted', { who, lines: lines.length });
  core.exportVariable('GREETED', who);
  core.setOutput('greeting', loud ? `HELLO ${who.toUpperCase()}` : `Hello ${who}`);
  core.setOutput('shape', { loud, lines });
  core.setOutput('text', 'a=b\n<<EOF\r\n\nend');
  await core.group('Details', async () => core.info('inside of the group'));
  core.notice('look here', { title: 'A title', file: 'src/a.js', startLine: 3, endLine: 4 });
  core.warning(new Error('careful: 100%, really'));
  core.debug('only for those who debug');
  core.info(`debugging ${core.isDebug()}`);
  await core.summary
    .addHeading('Greetings')
    .addTable([[{ data: 'Name', header: true }], [who]])
    .addCodeBlock('hello()', 'js')
    .write();
  await core.getIDToken().catch((error: unknown) => core.info(`no token: ${reasonOf(error)}`));
  try {
    core.getBooleanInput('who');
  } catch (error) {
    core.setFailed(reasonOf(error));
  }
}

void run();
