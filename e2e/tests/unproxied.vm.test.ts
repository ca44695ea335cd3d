/** Programs that know no proxy, in a machine without a network interface. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import {
  assertBuried,
  type Constellation,
  type EndedRun,
  startConstellation,
} from '@onejob/testing';
import { FORGET_PROXY } from './_unproxied.ts';

let all: Constellation;
let web: Server;
let echo: Server;
const asked: string[] = [];

before(async () => {
  web = createHttpServer((request, response) =>
    response.end(`${request.headers.host} was asked\n`),
  );
  // A server that speaks first, as those of mail and ssh do.
  echo = createServer((client) => client.on('error', () => {}).end('welcome\n'));
  for (const server of [web, echo]) await once(server.listen(0, '127.0.0.1'), 'listening');
  all = await startConstellation({
    driver: 'qemu',
    agent: {
      egress: {
        hazardousReachableLoopback: 'only-in-tests',
        resolver: {
          resolve: async (name) => {
            asked.push(name);
            if (name === 'inside.example') return { kind: 'addresses', addresses: ['10.1.2.3'] };
            if (!/^(forge|other)\.example$/.test(name)) return { kind: 'nothing' };
            return await Promise.resolve({ kind: 'addresses', addresses: ['127.0.0.1'] });
          },
        },
      },
    },
  });
});
after(async () => {
  const { agentDirectory } = all;
  await all[Symbol.asyncDispose]();
  for (const server of [web, echo]) server.close();
  await assertBuried(agentDirectory);
});

const portOf = (server: Server): number => (server.address() as AddressInfo).port;
const DATAGRAM = `import socket
for address in ("198.51.100.7", socket.gethostbyname("forge.example")):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (address, 53))
    except OSError as error:
        print("datagram:", error.strerror)
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).sendto(b"x" * 8, ("198.51.100.7", 0))
except OSError as error:
    print("icmp:", error.strerror)
`;

const workflow = (): string => `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
${FORGET_PROXY}      - name: by name, at any port
        run: |
          curl -sS http://forge.example:${portOf(web)}/
          node -e 'fetch("http://other.example:${portOf(web)}/").then((r) => r.text()).then((t) => console.log("node:", t.trim()))'
          python3 -c 'import urllib.request; print("python:", urllib.request.urlopen("http://Forge.Example:${portOf(web)}/").read().decode().strip())'
          exec 3<>/dev/tcp/other.example/${portOf(echo)}; cat <&3
      - name: a server of the job's own keeps its port
        run: |
          python3 -m http.server ${portOf(web)} > /tmp/server.txt 2>&1 &
          for try in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:${portOf(web)}/ && break; sleep 0.1; done
          curl -sS http://127.0.0.1:${portOf(web)}/ | grep -q 'Directory listing' && echo 'own server' || cat /tmp/server.txt
          curl -sS http://forge.example:${portOf(web)}/
      - name: what is refused, or is not there
        run: |
          curl -sS http://nobody.example/ || true
          curl -sS http://metadata.google.internal/ || true
          curl -sS http://inside.example/ || true
          curl -sS http://10.1.2.3/ || true
          curl -sS http://169.254.169.254/latest/meta-data || true
          curl -sS 'http://[2001:db8::1]/' || true
          python3 -c '${DATAGRAM.replaceAll('\n', '\n          ')}'
`;

test('every program reaches by TCP what the guard allows, and hears at once of what it does not', async () => {
  const { run, logs }: EndedRun = await all.run({ workflow: workflow() });
  const text = (logs['one'] ?? []).map((row) => row.text).join('\n');
  assert.equal(run.conclusion, 'success', text);
  const port = portOf(web);
  assert.equal(
    text.match(new RegExp(`^forge\\.example:${port} was asked$`, 'gm'))?.length,
    2,
    text,
  );
  assert.match(text, new RegExp(`^node: other\\.example:${port} was asked$`, 'm'));
  assert.match(text, new RegExp(`^python: (?:F|f)orge\\.(?:E|e)xample:${port} was asked$`, 'm'));
  assert.match(text, /^welcome$/m);
  assert.match(text, /^own server$/m);
  for (const name of ['nobody.example', 'metadata.google.internal', 'inside.example']) {
    assert.ok(text.includes(`curl: (6) Could not resolve host: ${name}`), `${name}\n${text}`);
  }
  // The guard refuses IPv4 addresses by breaking the connection; IPv6 ones have no route.
  assert.equal(text.match(/^curl: \((?:7|35|52|56)\) .*/gm)?.length, 3, text);
  assert.equal(text.match(/^datagram: Network is unreachable$/gm)?.length, 2, text);
  assert.match(text, /^icmp: Network is unreachable$/m);
  // A name that says by itself that it is of the inside is not looked up.
  const names = ['forge.example', 'inside.example', 'nobody.example', 'other.example'];
  assert.deepEqual([...new Set(asked)].toSorted(), names);
});
