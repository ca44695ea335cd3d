/** What a pattern finds, its hash, and copies of it. */
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import * as core from '@actions/core';
import * as glob from '@actions/glob';
import * as io from '@actions/io';

async function run(): Promise<void> {
  const patterns = core.getMultilineInput('patterns').join('\n');
  const globber = await glob.create(patterns, { matchDirectories: false });
  const files = await globber.glob();
  core.setOutput(
    'files',
    files.map((file) => relative(process.cwd(), file)),
  );
  core.setOutput('hash', await glob.hashFiles(patterns));
  const place = join(process.env['RUNNER_TEMP'] ?? '', 'file-sums');
  await io.mkdirP(join(place, 'deep', 'er'));
  for (const file of files) await io.cp(file, join(place, 'deep'));
  await io.cp(join(place, 'deep'), join(place, 'copy'), { recursive: true });
  await io.mv(join(place, 'copy', 'b.txt'), join(place, 'moved.txt'));
  await io.rmRF(join(place, 'deep'));
  core.info(`moved ${readFileSync(join(place, 'moved.txt'), 'utf8')}`);
  core.info(`left ${existsSync(join(place, 'copy', 'a.txt'))} ${existsSync(join(place, 'deep'))}`);
  core.info(
    `bash at ${await io.which('bash', true)}, nothing at [${await io.which('no-such-one')}]`,
  );
}

void run();
