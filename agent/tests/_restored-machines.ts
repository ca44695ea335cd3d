/** What a job on a restored machine tells of it. */
import assert from 'node:assert/strict';
import type { ProvisionRequest, SandboxDriver, SandboxHandle } from '../src/sandbox/driver.ts';
import { runScript, type SandboxLab } from './_sandbox-lab.ts';

/** What is said on lines `name=value` by one job on a machine of its own, which is then buried. */
export async function said(
  lab: SandboxLab,
  driver: SandboxDriver,
  script: string,
  machine: Partial<ProvisionRequest> = {},
): Promise<{ values: Map<string, string>; handle: SandboxHandle }> {
  const sandbox = await lab.newSandbox(machine);
  const handle = await driver.provision(sandbox.request, sandbox.stack);
  const { log, finished, violation } = await runScript(handle, script);
  assert.equal(violation, undefined);
  assert.equal(finished?.conclusion, 'success', log);
  await handle.kill();
  await lab.bury(sandbox);
  const lines = log.matchAll(/^=(\S+?)=(.+)$/gm);
  return { values: new Map([...lines].map(([, name = '', value = '']) => [name, value])), handle };
}

/**
 * Every source of random values that a program has, each read by a process that was started for it.
 * A TLS client's first message holds its random and its key share.
 */
export const RANDOM_VALUES = String.raw`
echo "=urandom=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
echo "=bash=$RANDOM$RANDOM$RANDOM"
echo "=mktemp=$(mktemp -u)"
echo "=openssl=$(openssl rand -hex 16)"
echo "=boot_id=$(cat /proc/sys/kernel/random/boot_id)"
echo "=uuid=$(cat /proc/sys/kernel/random/uuid)"
echo "=machine_id=$(cat /etc/machine-id)"
echo "=at_random=$(perl -e 'open(F,"/proc/self/auxv");local $/;%a=unpack("Q*",<F>);printf "%s", unpack("H*",unpack("P16",pack("Q",$a{25})))')"
echo "=stack=$(grep '\[stack\]' /proc/self/maps)"
echo "=getrandom=$(perl -e '$b="\0"x16;syscall(318,$b,16,0);print unpack("H*",$b)')"
cat > "$RUNNER_TEMP/values.mjs" <<'EOF'
import { randomBytes, randomUUID, webcrypto, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:net';
import { connect } from 'node:tls';
import { once } from 'node:events';
const say = (name, value) => console.log('=' + name + '=' + value);
say('randomBytes', randomBytes(16).toString('hex'));
say('randomUUID', randomUUID());
say('Math.random', [Math.random(), Math.random()]);
say('getRandomValues', Buffer.from(webcrypto.getRandomValues(new Uint8Array(16))).toString('hex'));
say('key', generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }).d);
const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const client = connect({ port: server.address().port, host: '127.0.0.1', rejectUnauthorized: false });
client.on('error', () => {});
const [socket] = await once(server, 'connection');
const [hello] = await once(socket, 'data');
say('tls.random', hello.subarray(11, 43).toString('hex'));
say('tls.session', hello.subarray(44, 76).toString('hex'));
say('tls.keyShare', hello.subarray(-32).toString('hex'));
process.exit();
EOF
node "$RUNNER_TEMP/values.mjs"
`;
