/** The units of docs/operations.md, as somebody would copy them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CommandLine } from './_command-line.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
const units = new Map(
  [...page.matchAll(/^```ini\n# (\S+)\n([^]*?)^```$/gm)].map(([, name = '', text = '']) => [
    name,
    text,
  ]),
);

test('the units are those that the page names, and each timer has its service', () => {
  const names = [
    'onejob-image.service',
    'onejob-image.timer',
    'onejob-reap.service',
    'onejob-reap.timer',
  ];
  assert.deepEqual([...units.keys()], names);
  assert.match(page, /systemctl enable --now onejob-image\.timer onejob-reap\.timer/);
});

/** `systemd-analyze verify`, which as root would leave a stamp of its own in /run/systemd. */
function verifyUnits(paths: readonly string[]) {
  const verify = ['systemd-analyze', 'verify', '--man=no', ...paths];
  const hidden = 'mount -t tmpfs tmpfs /run/systemd && exec "$@"';
  const [command = '', ...rest] =
    process.getuid?.() === 0 ? ['unshare', '--mount', 'sh', '-c', hidden, 'sh', ...verify] : verify;
  return spawnSync(command, rest, { encoding: 'utf8' });
}

test('systemd takes them without a word', (t) => {
  if (spawnSync('systemd-analyze', ['--version']).status !== 0) return t.skip('no systemd-analyze');
  const directory = mkdtempSync(join(tmpdir(), 'onejob-units-'));
  try {
    const verify = (change: (text: string) => string) => {
      for (const [name, text] of units) {
        // What they start is not installed here: that is not what is asked.
        const started = text.replaceAll(/^ExecStart=\S+/gm, 'ExecStart=/bin/true');
        writeFileSync(join(directory, name), change(started));
      }
      return verifyUnits([...units.keys()].map((name) => join(directory, name)));
    };
    const { status, stderr } = verify((text) => text);
    const ours = stderr.split('\n').filter((line) => line.includes('onejob'));
    assert.deepEqual([status, ours], [0, []], stderr);
    const wrong = verify((text) => text.replace('OnCalendar=weekly', 'OnCalendar=sometimes'));
    assert.match(wrong.stderr, /onejob-image\.timer/, 'what is wrong is seen');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('the commands they start are commands, with flags that are theirs', async () => {
  await using line = new CommandLine();
  const commands = [...units.values()]
    .flatMap((text) => [...text.matchAll(/^ExecStart=\/usr\/local\/bin\/onejob (.*)$/gm)])
    .map(([, words = '']) => words.split(' '));
  assert.equal(commands.length, 4);
  for (const words of commands) {
    const path = words
      .filter((word) => /^[a-z]+$/.test(word))
      .slice(0, words[0] === 'image' ? 2 : 1);
    const { code, stdout } = await line.run([...path, '--help']);
    assert.equal(code, 0, words.join(' '));
    for (const flag of words.filter((word) => word.startsWith('--'))) {
      assert.match(stdout, new RegExp(`^ +${flag}\\b`, 'm'), words.join(' '));
    }
  }
});
