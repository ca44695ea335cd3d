import assert from 'node:assert/strict';
import { mkdirSync, mkdtempDisposableSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { compareGenerated, compareTrees } from './generated-code.ts';

test('a file that differs, is missing or is left over is named', () => {
  const committed = new Map([
    ['same.js', '1'],
    ['changed.js', '1'],
    ['left-over.js', '1'],
  ]);
  const fresh = new Map([
    ['same.js', '1'],
    ['changed.js', '2'],
    ['new.js', '1'],
  ]);
  assert.deepEqual(
    compareTrees(committed, fresh).map((line) => line.split(':')[0]),
    ['changed.js', 'left-over.js', 'new.js'],
  );
});

test('what buf would write is compared with what is committed', async () => {
  using zone = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-generated-test-'));
  writeFileSync(path.join(zone.path, 'buf.gen.yaml'), 'plugins:\n  - local: x\n    out: src/gen\n');
  mkdirSync(path.join(zone.path, 'src/gen'), { recursive: true });
  writeFileSync(path.join(zone.path, 'src/gen/a.js'), 'committed');
  const generate = (text: string) =>
    compareGenerated(zone.path, async (args) => {
      const target = path.join(args.at(-1) ?? '', 'src/gen');
      mkdirSync(target, { recursive: true });
      writeFileSync(path.join(target, 'a.js'), text);
      return { passed: true, output: '' };
    });
  assert.equal((await generate('committed')).passed, true);
  const stale = await generate('newer');
  assert.equal(stale.passed, false);
  assert.match(stale.output, /src\/gen\/a\.js: differs/);
});
