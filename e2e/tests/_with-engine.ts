/**
 * A program for `_public-place.ts`: a container engine beside the host's, in the namespaces that this
 * runs in, for the program of its arguments, whose environment names the settings to reach it by.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestEngine } from '@onejob/testing/container-engine';

const [, , program = '', ...words] = process.argv;
using directory = mkdtempDisposableSync(join(tmpdir(), 'with-engine-'));
const settings = join(directory.path, 'docker.json');
await using engine = await startTestEngine();
writeFileSync(settings, JSON.stringify({ socketPath: engine.socketPath }));
const env = { ...process.env, ONEJOB_DOCKER_SETTINGS: settings };
const child = spawn(program, words, { stdio: 'inherit', env });
const [code] = (await once(child, 'exit')) as [number | null];
process.exitCode = code ?? 1;
