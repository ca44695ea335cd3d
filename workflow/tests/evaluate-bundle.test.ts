/** What the guest loads: the evaluator reaches for little outside of its folder at run time. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

test('the evaluator imports its own files, types and one small reader, nothing else', () => {
  const folder = `${import.meta.dirname}/../src/evaluate`;
  const files = globSync('*.ts', { cwd: folder }).filter((file) => !file.endsWith('.test.ts'));
  assert.ok(files.includes('index.ts') && files.length >= 6);
  for (const file of files) {
    const text = readFileSync(`${folder}/${file}`, 'utf8');
    const imports = text.matchAll(/^(?:import|export)\s(?!type)[^;]*?from '([^']+)'/gm);
    for (const [, from] of imports)
      assert.match(from ?? '', /^(\.\/[a-z]+\.ts|json5)$/, `${file}: ${from}`);
    assert.doesNotMatch(text, /\bimport\(|\brequire\(/);
  }
});
