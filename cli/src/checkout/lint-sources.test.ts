import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { lintSources } from './lint-sources.ts';

const directory = mkdtempSync(join(tmpdir(), 'onejob-lint-'));
after(() => rmSync(directory, { recursive: true }));
const workflows = join(directory, '.github', 'workflows');
mkdirSync(workflows, { recursive: true });
mkdirSync(join(directory, 'bare'));
for (const name of ['b.yaml', 'a.yml', 'notes.md']) writeFileSync(join(workflows, name), name);
writeFileSync(join(directory, 'bare', 'x.yml'), 'x');

const files = async (...paths: string[]): Promise<string[]> =>
  (await lintSources(paths, Readable.from(['typed']))).map(({ file, text }) => `${file}=${text}`);

test('a directory stands for its workflows, a file for itself, - for standard input', async () => {
  const inside = [`${join(workflows, 'a.yml')}=a.yml`, `${join(workflows, 'b.yaml')}=b.yaml`];
  assert.deepEqual(await files(directory), inside);
  assert.deepEqual(await files(workflows), inside);
  assert.deepEqual(await files(join(directory, 'bare')), [`${join(directory, 'bare', 'x.yml')}=x`]);
  const notes = join(workflows, 'notes.md');
  assert.deepEqual(await files(notes, '-', notes), [`${notes}=notes.md`, '<stdin>=typed']);
});

test('what is not there is said', async () => {
  await assert.rejects(
    files(join(directory, 'gone')),
    /gone cannot be read: there is no such file/,
  );
  await assert.rejects(files(join(directory, '.github')), /\.github has no workflow/);
});
