/** The leash of a PID namespace, on a real tree of processes that do what they can to escape. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newSandboxId } from '@onejob/protocol';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { pidNamespacePrefix } from './pid-namespace.ts';
import { superviseProcess } from './supervised-process.ts';

checkLeaksAfterEach();

const prefix = await pidNamespacePrefix();

/** Processes that have this word among their arguments. */
const named = (word: string): number =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word);
    } catch {
      return false;
    }
  }).length;

test(
  'killing the first process kills detached, twice forked and marker-less descendants',
  { skip: prefix.length === 0 && 'this host refuses PID namespaces (needs root)' },
  async () => {
    const word = `10${randomBytes(6).readUIntBE(0, 6)}`;
    const script = `env -i setsid sleep ${word} & (env -i setsid sh -c 'sleep ${word} & sleep ${word}' &) ; wait`;
    const words: string[] = [...prefix, 'sh', '-c', script];
    const [command = '', ...args] = words;
    const child = superviseProcess({
      command,
      args,
      hostMarker: 'pid-namespace-test',
      sandboxId: newSandboxId(),
      environment: { PATH: '/usr/bin:/bin' },
      directory: tmpdir(),
    });
    for (const deadline = performance.now() + 10_000; named(word) < 5; await sleep(5)) {
      assert.ok(performance.now() < deadline, `only ${named(word)} processes came up`);
    }
    child.kill();
    await child.exited;
    for (const deadline = performance.now() + 10_000; named(word) > 0; await sleep(5)) {
      assert.ok(performance.now() < deadline, `${named(word)} processes escaped`);
    }
  },
);
