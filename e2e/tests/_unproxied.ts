/** Jobs whose programs know no proxy, and what each of them may reach: one workflow for every driver. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import {
  assertBuried,
  type ConstellationOptions,
  type EndedRun,
  startConstellation,
} from '@onejob/testing';

const VARIABLES = ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'];

/** A step after which the job's steps know no proxy: programs have to go without one. */
export const FORGET_PROXY = `      - name: forget the proxy
        run: |
          echo 'unset ${VARIABLES.flatMap((name) => [name, name.toUpperCase()]).join(' ')}' > "$HOME/without"
          echo "BASH_ENV=$HOME/without" >> "$GITHUB_ENV"
`;

/** Connections at once to each of two names: an emulated machine starts their programs slowly. */
const MANY = 8;

const DATAGRAM = `import socket
for address in ("198.51.100.7", socket.gethostbyname("forge.example")):
    try:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(20)
        client.connect((address, 53))
        client.send(b"x")
        print("datagram:", client.recv(1))
    except OSError as error:
        print("datagram:", error.strerror)
`;
/** By a socket of IPv6, as Java's are, whose address is one of IPv4 all the same. */
const MAPPED = `import socket
client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
client.connect(("::ffff:" + socket.gethostbyname("other.example"), PORT))
print("mapped:", client.recv(100).decode().strip())
`;
const PING = `import socket
try:
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).sendto(b"x" * 8, ("198.51.100.7", 0))
except OSError as error:
    print("icmp:", error.strerror)
`;

const python = (program: string): string =>
  `python3 -c '${program.replaceAll('\n', '\n          ')}'`;

type Ports = { web: number; echo: number; sink: number };

const workflow = ({ web, echo, sink }: Ports): string => `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
${FORGET_PROXY}      - name: by name, at any port
        run: |
          curl -sS http://forge.example:${web}/
          node -e 'fetch("http://other.example:${web}/").then((r) => r.text()).then((t) => console.log("node:", t.trim()))'
          python3 -c 'import urllib.request; print("python:", urllib.request.urlopen("http://Forge.Example:${web}/").read().decode().strip())'
          exec 3<>/dev/tcp/other.example/${echo}; cat <&3
          echo 'said and gone' > /dev/tcp/other.example/${sink}
          ${python(MAPPED.replace('PORT', String(echo)))}
      - name: a server of the job's own keeps its port
        run: |
          python3 -m http.server ${web} > /tmp/server.txt 2>&1 &
          for try in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:${web}/ && break; sleep 0.1; done
          curl -sS http://127.0.0.1:${web}/ | grep -q 'Directory listing' && echo 'own server' || cat /tmp/server.txt
          curl -sS http://forge.example:${web}/
      - name: many at once
        run: |
          for one in $(seq ${MANY}); do curl -sS http://forge.example:${web}/ & curl -sS http://other.example:${web}/ & done > /tmp/many.txt
          wait
          sort /tmp/many.txt | uniq -c | sed 's/^ */many: /'
      - name: what is refused, or is not there
        run: |
          curl -sS http://nobody.example/ || true
          curl -sS http://metadata.google.internal/ || true
          curl -sS http://inside.example/ || true
          curl -sS http://10.1.2.3/ || true
          curl -sS http://169.254.169.254/latest/meta-data || true
          curl -sS 'http://[2001:db8::1]/' || true
          ${python(DATAGRAM)}
          ${python(PING)}
`;

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

async function startServers() {
  const web = createHttpServer((request, response) =>
    response.end(`${request.headers.host} was asked\n`),
  );
  // A server that speaks first, as those of mail and ssh do.
  const echo = createServer((client) => client.on('error', () => {}).end('welcome\n'));
  const said: string[] = [];
  const sink = createServer((client) => {
    client.on('error', () => {}).setEncoding('utf8');
    client.on('data', (text: string) => said.push(text));
  });
  const servers = [web, echo, sink];
  for (const server of servers) await once(server.listen(0, '127.0.0.1'), 'listening');
  return {
    ports: { web: portOf(web), echo: portOf(echo), sink: portOf(sink) },
    said,
    [Symbol.dispose]: () => {
      for (const server of servers) server.close();
    },
  };
}

/** What it said, and to a server; the names that the host's resolver was asked for. */
export type UnproxiedRun = { text: string; said: string; web: number; names: string[] };

/** Runs the workflow. */
export async function runUnproxied(options: ConstellationOptions): Promise<UnproxiedRun> {
  using servers = await startServers();
  const asked: string[] = [];
  const resolve = async (name: string) => {
    asked.push(name);
    if (name === 'inside.example') return { kind: 'addresses', addresses: ['10.1.2.3'] } as const;
    if (!/^(forge|other)\.example$/.test(name)) return { kind: 'nothing' } as const;
    return await Promise.resolve({ kind: 'addresses', addresses: ['127.0.0.1'] } as const);
  };
  let ended: EndedRun;
  let agentDirectory: string;
  {
    await using all = await startConstellation({
      ...options,
      agent: {
        egress: { hazardousReachableLoopback: 'only-in-tests', resolver: { resolve } },
        ...options.agent,
      },
    });
    agentDirectory = all.agentDirectory;
    ended = await all.run({ workflow: workflow(servers.ports) });
  }
  await assertBuried(agentDirectory);
  const text = (ended.logs['one'] ?? []).map((row) => row.text).join('\n');
  assert.equal(ended.run.conclusion, 'success', text);
  const names = [...new Set(asked)].toSorted();
  return { text, said: servers.said.join(''), web: servers.ports.web, names };
}

/** What is said of datagrams: to an address that is written out, and to that of a name. */
const UNREACHABLE = ['Network is unreachable', 'Network is unreachable'];

/** Every program reached by TCP what the guard allows, and heard at once of what it does not. */
export function checkUnproxied(
  { text, said, web, names }: UnproxiedRun,
  datagrams: readonly string[] = UNREACHABLE,
): void {
  const lines = (pattern: string): number =>
    text.match(new RegExp(`^${pattern}$`, 'gm'))?.length ?? 0;
  assert.equal(lines(`forge\\.example:${web} was asked`), 2, text);
  assert.equal(lines(`node: other\\.example:${web} was asked`), 1, text);
  assert.equal(lines(`python: (?:F|f)orge\\.(?:E|e)xample:${web} was asked`), 1, text);
  for (const line of ['welcome', 'mapped: welcome', 'own server'])
    assert.equal(lines(line), 1, text);
  for (const name of ['forge', 'other']) {
    assert.equal(lines(`many: ${MANY} ${name}\\.example:${web} was asked`), 1, text);
  }
  for (const name of ['nobody.example', 'metadata.google.internal', 'inside.example']) {
    assert.ok(text.includes(`curl: (6) Could not resolve host: ${name}`), `${name}\n${text}`);
  }
  // The guard refuses IPv4 addresses by breaking the connection; IPv6 ones have no route.
  assert.equal(lines('curl: \\((?:7|35|52|56)\\) .*'), 3, text);
  const answers = [...text.matchAll(/^datagram: (.*)$/gm)].map(([, answer]) => answer);
  assert.deepEqual(answers, datagrams, text);
  assert.equal(said, 'said and gone\n', 'by a program that did not wait');
  // A name that says by itself that it is of the inside is not looked up.
  assert.deepEqual(names, ['forge.example', 'inside.example', 'nobody.example', 'other.example']);
}
