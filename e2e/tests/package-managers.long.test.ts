/**
 * The package managers of a sandbox without a network interface, as they come: no proxy variable, no
 * setting of a network. Each is the real client; what it asks is a server of the test, with TLS.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { AgentConfig, MachineImage } from '@onejob/agent';
import { assertBuried, startConstellation, type Constellation } from '@onejob/testing';
import { startTestEngine, whyNoEngine } from '@onejob/testing/container-engine';
import { makeClientImage } from './_client-image.ts';
import { PackageServer, SITES_DOMAIN } from './_package-server.ts';
import { FORGET_PROXY } from './_unproxied.ts';

/** Programs start slowly under emulation; what is not answered takes 10 s and more. */
const AT_ONCE_MS = 8_000;

const directory = mkdtempSync(join(tmpdir(), 'onejob-clients-'));
const undo = new AsyncDisposableStack();
let server: PackageServer;
let guestImage: MachineImage;
let all: Constellation;

before(async () => {
  undo.defer(() => rmSync(directory, { recursive: true, force: true }));
  server = undo.use(await PackageServer.start());
  guestImage = undo.use(await makeClientImage(directory)).image;
  all = undo.use(await startPlace('qemu'));
});
after(async () => await undo.disposeAsync());

/** Jobs in sandboxes of the driver, which find the server's sites and no other name. */
async function startPlace(
  driver: 'qemu' | 'gvisor' | 'docker',
  settings: Partial<AgentConfig> = {},
): Promise<Constellation> {
  const place = await startConstellation({
    driver,
    agent: {
      ...settings,
      image: async () => await Promise.resolve(guestImage),
      egress: {
        hazardousReachableLoopback: 'only-in-tests',
        resolver: {
          resolve: async (name) =>
            await Promise.resolve(
              name.endsWith(`.${SITES_DOMAIN}`)
                ? { kind: 'addresses', addresses: ['127.0.0.1'] }
                : { kind: 'nothing' },
            ),
        },
      },
    },
  });
  const { agentDirectory } = place;
  return {
    ...place,
    [Symbol.asyncDispose]: async () => {
      await place[Symbol.asyncDispose]();
      await assertBuried(agentDirectory);
    },
  };
}

/** What each client is told of the project, as a user would: where its packages are. */
const clients = (): Record<string, string> => ({
  curl: `curl -sS ${server.url('files')}/greeting.txt`,
  git: `git clone -q ${server.url('git')}/greeting && cat greeting/greeting.txt`,
  apt: `echo 'deb [trusted=yes] ${server.url('apt')} ./' > /etc/apt/sources.list
apt-get -q update && apt-get -q install -y greeting && cat /usr/share/greeting.txt`,
  pip: `pip install -q --target site --index-url ${server.url('pip')}/simple/ greeting
PYTHONPATH=site python3 -c 'import greeting; print(greeting.greeting)'`,
  npm: `npm install --registry ${server.url('npm')}/ greeting
node -p 'require("greeting")'`,
  go: `export GOPROXY=${server.url('go')} GOSUMDB=off
go mod init example.org/here && go get greeting.example/greeting
printf 'package main\\nimport "greeting.example/greeting"\\nfunc main() { println(greeting.Greeting()) }\\n' > main.go
go run .`,
  cargo: `mkdir .cargo src
printf '[registries.here]\\nindex = "${server.url('git')}/cargo-index"\\n' > .cargo/config.toml
printf '[package]\\nname = "here"\\nversion = "0.1.0"\\n[dependencies]\\ngreeting = { version = "1", registry = "here" }\\n' > Cargo.toml
printf 'fn main() { println!("{}", greeting::greeting()) }\\n' > src/main.rs
cargo run`,
});

const step = (name: string, script: string): string => `      - name: ${name}
        run: |
          mkdir ${name}; cd ${name}
${script.replaceAll(/^/gm, '          ')}
`;

/** One job of these steps, by name. @returns its log, and what it talked to */
async function runSteps(steps: Record<string, string>, place = all) {
  const { run, logs } = await place.run({
    workflow: `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    env:
      NODE_EXTRA_CA_CERTS: /etc/ssl/certs/ca-certificates.crt
    steps:
      - uses: actions/checkout@v4
      - name: trust the server
        run: cat certificate.pem >> /etc/ssl/certs/ca-certificates.crt
${FORGET_PROXY}
${Object.entries(steps)
  .map(([name, script]) => step(name, script))
  .join('')}`,
    files: { 'certificate.pem': server.certificate },
  });
  const log = (logs['one'] ?? []).map(({ text }) => text).join('\n');
  assert.equal(run.conclusion, 'success', log);
  const { records } = await place.api.egress(run.jobs[0]?.id ?? '');
  return { log, records };
}

test('curl, git, apt-get, pip, npm, go and cargo work without any setting of a network', async () => {
  await checkClients(all);
});

test('they work in a container, too', async (context) => {
  const whyNot = whyNoEngine();
  if (whyNot !== undefined) return context.skip(whyNot);
  await using engine = await startTestEngine();
  await using place = await startPlace('docker', { docker: { socketPath: engine.socketPath } });
  await checkClients(place);
  await checkNowhere(place);
});

test('they work in gVisor, too', async (context) => {
  if (process.getuid?.() !== 0) return context.skip('gVisor takes root here');
  await using place = await startPlace('gvisor');
  await checkClients(place);
});

async function checkClients(place: Constellation): Promise<void> {
  server.asked.clear();
  const { log, records } = await runSteps(
    {
      settings: 'echo "proxies: $(env | grep -ci proxy), interfaces: $(ls /sys/class/net)"',
      ...clients(),
    },
    place,
  );
  assert.match(log, /^proxies: 0, interfaces: (?:lo)?$/m);
  for (const name of Object.keys(clients())) {
    assert.match(log, new RegExp(`^${name} says hello$`, 'm'));
  }
  // All of it came over the network, through the guard.
  const sites = ['apt', 'cargo', 'files', 'git', 'go', 'npm', 'pip'];
  assert.deepEqual([...server.asked.keys()].toSorted(), sites);
  const talkedTo = records.map(({ host, port, verdict }) => `${host}:${port} ${verdict}`);
  const expected = sites.map((site) => `${server.authority(site)} allowed`);
  assert.deepEqual([...new Set(talkedTo)].toSorted(), expected);
}

/** Containers have the programs of their machine. */
const containers = (): Record<string, string> => {
  const [image, files] = [`${server.authority('images')}/greeting:1.0.0`, server.url('files')];
  const run = 'docker run --rm -v /usr:/usr:ro -v /etc/ssl:/etc/ssl:ro';
  return {
    start: `service docker start
until docker version > /dev/null 2>&1; do sleep 0.5; done
echo "storage: $(docker info --format '{{.Driver}}')"`,
    pull: `docker pull -q ${image}
docker run --rm ${image}`,
    networks: `docker network create own
for network in bridge own host; do
  echo "by $network: $(${run} --network $network ${image} curl -sS ${files}/greeting.txt)"
done`,
    refused: `${run} ${image} curl -sS http://10.1.2.3/ || true
${run} ${image} curl -sS http://nowhere.example/ || true
${run} ${image} ping -c 1 -w 8 93.184.215.14 || true`,
    published: `${run} -d -p 8080:80 ${image} python3 -m http.server 80
until curl -sf http://127.0.0.1:8080/ > served; do sleep 0.5; done
grep -o 'Directory listing' served | head -1`,
    limits: `echo "memory: $(${run} -m 64m ${image} cat /sys/fs/cgroup/memory.max)"`,
  };
};

test('docker works as it comes: its containers reach what the guard allows, by any network of theirs', async () => {
  server.asked.clear();
  const { log, records } = await runSteps(containers());
  assert.match(log, /^storage: overlay2$/m);
  assert.match(log, /^docker says hello$/m);
  for (const network of ['bridge', 'own', 'host']) {
    assert.match(log, new RegExp(`^by ${network}: curl says hello$`, 'm'));
  }
  assert.match(log, /^curl: \(56\) Recv failure: Connection reset by peer$/m);
  assert.match(log, /^curl: \(6\) Could not resolve host: nowhere\.example$/m);
  assert.match(log, /^From 172\.\d+\.0\.1 icmp_seq=1 Destination Net Unreachable$/m);
  assert.match(log, /^Directory listing$/m);
  assert.match(log, /^memory: 67108864$/m);
  assert.ok(server.asked.get('images')?.includes('HEAD /v2/greeting/manifests/1.0.0'));
  assert.equal(server.asked.get('files')?.length, 3);
  const refused = records.filter(({ verdict }) => verdict === 'refused');
  assert.deepEqual(
    refused.map(({ host, port, rule }) => [host, port, rule]),
    [['10.1.2.3', 80, 'private-address']],
  );
});

test('a name that leads nowhere, and ping, fail at once, in words of the client’s own', async () => {
  await checkNowhere(all);
});

async function checkNowhere(place: Constellation): Promise<void> {
  const nowhere = 'nowhere.example';
  const tries = {
    curl: `curl -sS https://${nowhere}/`,
    git: `git clone -q https://${nowhere}/greeting`,
    ping: `ping -c 1 ${server.authority('files').split(':')[0]}`,
    'ping-6': 'ping -6 -c 1 2606:4700::1111',
  };
  const timed = Object.entries(tries).map(([name, command]) => [
    name,
    `from=$(date +%s%N)
${command} || echo "${name} failed after $(( ($(date +%s%N) - from) / 1000000 )) ms"`,
  ]);
  const { log } = await runSteps(Object.fromEntries(timed) as Record<string, string>, place);
  assert.match(log, /^curl: \(6\) Could not resolve host: nowhere\.example$/m);
  assert.match(log, /^fatal: unable to access .*Could not resolve host: nowhere\.example$/m);
  // A container has no IPv6 at all.
  const none = /^ping: connect: (?:Network is unreachable|Cannot assign requested address)$/gm;
  assert.equal(log.match(none)?.length, 2, log);
  for (const name of Object.keys(tries)) {
    const [, ms = ''] = new RegExp(`^${name} failed after (\\d+) ms$`, 'm').exec(log) ?? [];
    assert.ok(ms !== '' && Number(ms) < AT_ONCE_MS, `${name}: ${ms} ms\n${log}`);
  }
}
