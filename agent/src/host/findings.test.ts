import assert from 'node:assert/strict';
import { mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { keepFinding, recallFinding } from './findings.ts';

test('a finding is recalled for what it is about, in the boot that it was made in', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-findings-'));
  const path = join(directory.path, 'cache', 'finding.json');
  const about = ['/usr/bin/tool', '1.0'];
  assert.equal(await recallFinding(path, about), undefined);
  await keepFinding(path, about, { mode: 2 });
  assert.deepEqual(await recallFinding(path, about), { mode: 2 });
  assert.equal(await recallFinding(path, ['/usr/bin/tool', '1.1']), undefined);
  assert.deepEqual(
    await readdir(join(directory.path, 'cache')),
    ['finding.json'],
    'no drafts left',
  );

  const text = await readFile(path, 'utf8');
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  await writeFile(path, text.replace(bootId, 'an-earlier-boot'));
  assert.equal(await recallFinding(path, about), undefined);
  for (const damaged of [text.slice(0, 40), 'null', '[]', `${text}${' '.repeat(20_000)}`]) {
    await writeFile(path, damaged);
    assert.equal(await recallFinding(path, about), undefined, damaged.slice(0, 60));
  }
});
