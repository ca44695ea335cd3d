/** Listeners, exit codes, input, words of a command line, and programs that fail or are not there. */
import * as core from '@actions/core';
import * as exec from '@actions/exec';

const tellFailure = (error: unknown): void => {
  core.info(`refused: ${error instanceof Error ? error.message.split('.')[0] : ''}`);
};

async function run(): Promise<void> {
  const lines: string[] = [];
  let stdout = '';
  const exitCode = await exec.exec('sh', ['-c', core.getInput('script')], {
    ignoreReturnCode: true,
    env: { FROM: 'options', PATH: process.env['PATH'] ?? '' },
    listeners: {
      stdout: (data) => (stdout += data.toString()),
      stdline: (line) => lines.push(`out ${line}`),
      errline: (line) => lines.push(`err ${line}`),
    },
  });
  core.setOutput('stdout', stdout);
  core.setOutput('exit-code', exitCode);
  core.info(lines.toSorted().join(', '));
  const piped = await exec.getExecOutput('tr', ['a-z', 'A-Z'], {
    input: Buffer.from('from its input'),
    silent: true,
  });
  core.info(`piped ${piped.stdout}`);
  await exec.exec('echo "two words" and more');
  await exec.exec('sh', ['-c', 'exit 4']).catch(tellFailure);
  await exec.exec('no-such-program-anywhere').catch(tellFailure);
}

void run();
