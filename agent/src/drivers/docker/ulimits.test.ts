import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerUlimits } from './ulimits.ts';

const limits = (processes: string, files: string) =>
  [
    'Limit                     Soft Limit           Hard Limit           Units     ',
    `Max processes             12                   ${processes.padEnd(20)} processes `,
    `Max open files            1024                 ${files.padEnd(20)} files     `,
  ].join('\n');

test('no limit of the agent is raised, and open files end at 65536', () => {
  const core = { Name: 'core', Soft: 0, Hard: 0 };
  assert.deepEqual(containerUlimits(limits('96365', '20000')), [
    core,
    { Name: 'nofile', Soft: 20_000, Hard: 20_000 },
    { Name: 'nproc', Soft: 96_365, Hard: 96_365 },
  ]);
  assert.deepEqual(containerUlimits(limits('unlimited', '1048576')), [
    core,
    { Name: 'nofile', Soft: 65_536, Hard: 65_536 },
  ]);
});
