/** Changes of packet rules at once, in a network namespace of this test's own. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const isPossible = process.getuid?.() === 0 && existsSync('/usr/sbin/nft');
const skip = isPossible ? false : 'a network namespace and packet rules take root and nft';
const PROGRAM = `
import { changePacketRules, runNetworkTool } from ${JSON.stringify(join(import.meta.dirname, 'network-tool.ts'))};
const texts = ['add table inet first', 'add table inet second', 'add nonsense', 'add table inet third',
  'delete table inet second', 'delete table inet missing'];
const results = await Promise.all(texts.map(changePacketRules));
const { standardOutput } = await runNetworkTool('nft', ['list', 'tables']);
console.log(JSON.stringify({ codes: results.map((one) => one.exitCode), standardOutput }));
`;

test(
  'changes of packet rules at once are made in order, and one that is wrong spoils no other',
  { skip },
  () => {
    const words = ['--net', process.execPath, '--input-type=module', '-e', PROGRAM];
    const { status, stdout, stderr } = spawnSync('unshare', words, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const { codes, standardOutput } = JSON.parse(stdout) as {
      codes: number[];
      standardOutput: string;
    };
    assert.deepEqual(codes, [0, 0, 1, 0, 0, 1]);
    assert.equal(standardOutput, 'table inet first\ntable inet third\n');
  },
);
