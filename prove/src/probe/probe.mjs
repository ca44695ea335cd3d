/**
 * Runs in the sandbox, as an action of a job: tries what `probes.json` lists and says for each, in a
 * line of JSON, what it saw. It judges nothing. PROVE_TURN says which job this is: first or next.
 *
 * Ordinary means only: Node, sh and perl, as any job has them. Each probe has a time limit, so that
 * one that hangs takes no other with it.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** What one probe may take. Emulated machines start a process in a tenth of a second. */
const PROBE_MS = 20_000;
/** One connection: routes that lead nowhere say so at once, or never. */
const CONNECT_MS = 4_000;
/** Of what was seen: more than any evidence is long. */
const SEEN_CHARACTERS = 600;
/** Connections at a time: they wait for others, not for the processor. */
const CONNECTIONS_AT_ONCE = 6;
/** How long connections are kept open together. */
const HOLD_MS = 1_500;

const here = dirname(fileURLToPath(import.meta.url));
const proxy = new URL(process.env.PROVE_PROXY || process.env.http_proxy || 'http://127.0.0.1:9');

const messageOf = (error) => (error instanceof Error ? error.message : String(error));

function runScript({ script }) {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PROBE_MS,
      killSignal: 'SIGKILL',
    });
    let seen = '';
    let said = '';
    child.stdout.on('data', (chunk) => (seen = (seen + chunk).slice(0, SEEN_CHARACTERS)));
    child.stderr.on('data', (chunk) => (said = (said + chunk).slice(0, SEEN_CHARACTERS)));
    child.on('error', (error) => resolve({ seen: '', said: error.message }));
    // Not `close`: what a script leaves running may keep its output open.
    child.on('exit', () => setTimeout(() => resolve({ seen, said: said.trim() }), 20));
  });
}

function runPrinting({ script }) {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', `${script}; echo`], {
      stdio: ['ignore', 'inherit', 'inherit'],
      timeout: PROBE_MS,
    });
    child.on('error', (error) => resolve({ seen: '', said: error.message }));
    child.on('exit', () => resolve({ seen: 'printed', said: '' }));
  });
}

/** Resolves once the script is ready; it goes on after that, and keeps this process alive. */
function startStaying({ script }) {
  return new Promise((resolve) => {
    const child = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.once('data', () => resolve({ seen: 'ready', said: '' }));
    child.stderr.once('data', (chunk) => resolve({ seen: '', said: chunk.toString() }));
    child.on('error', (error) => resolve({ seen: '', said: error.message }));
  });
}

/** Connects, asks and reads until the other side ends, or says enough, or the time is up. */
function converse(options, ask) {
  return new Promise((resolve) => {
    const socket = connect(options);
    let seen = '';
    const end = (said) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ seen, said });
    };
    const timer = setTimeout(() => end('no answer in time'), CONNECT_MS);
    socket.on('connect', () => {
      seen += 'connected ';
      if (ask !== '') socket.write(ask);
    });
    socket.on('data', (chunk) => {
      seen += chunk.toString('latin1');
      if (seen.length > SEEN_CHARACTERS) end('');
    });
    socket.on('end', () => end(''));
    socket.on('error', (error) => end(error.message));
  });
}

async function trySocket({ path, ask }) {
  return await converse({ path: path.startsWith('@') ? `\0${path.slice(1)}` : path }, ask);
}

function splitTarget(target) {
  const at = target.lastIndexOf(':');
  const host = target.slice(0, at).replaceAll(/^\[|\]$/g, '');
  return { host, port: Number(target.slice(at + 1)) };
}

const viaProxy = { host: proxy.hostname, port: Number(proxy.port) };

/** A CONNECT of HTTP/1.1. The question rides behind it: a proxy passes it on once it is connected. */
const tunnelTo = (target, ask) => `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n${ask}`;

async function tryConnect(id, { target, times, way }) {
  const seen = [];
  for (let turn = 0; turn < times; turn += 1) {
    const ask = `GET /${id}\n`;
    if (way !== 'proxy') {
      const direct = await converse(splitTarget(target), ask);
      seen.push(`straight: ${direct.seen.replace('connected ', '')}${direct.said}`);
    }
    const tunnel = await converse(viaProxy, tunnelTo(target, ask));
    seen.push(`proxy: ${tunnel.seen.replace('connected ', '')}${tunnel.said}`);
  }
  return { seen: seen.join(' | '), said: '' };
}

async function tryHold(id, { target, connections }) {
  const sockets = [];
  let open = 0;
  for (let count = 0; count < connections; count += 1) {
    const socket = connect(viaProxy, () => socket.write(tunnelTo(target, `HOLD /${id}\n`)));
    socket.on('error', () => {});
    socket.once('data', (chunk) => (open += chunk.toString('latin1').includes(' 200 ') ? 1 : 0));
    sockets.push(socket);
    if (count % 50 === 49) await sleep(300); // under the limit of new connections a second
  }
  await sleep(HOLD_MS);
  for (const socket of sockets) socket.destroy();
  return { seen: `${open} of ${connections} connections were open`, said: '' };
}

async function run({ id, probe }) {
  try {
    if (probe.do === 'script') return await runScript(probe);
    if (probe.do === 'print') return await runPrinting(probe);
    if (probe.do === 'stay') return await startStaying(probe);
    if (probe.do === 'socket') return await trySocket(probe);
    if (probe.do === 'connect') return await tryConnect(id, probe);
    return await tryHold(id, probe);
  } catch (error) {
    return { seen: '', said: messageOf(error) };
  }
}

function report(id, { seen, said }) {
  const clip = (text) =>
    text.replaceAll(/[\x00-\x08\x0b-\x1f\x7f]/g, ' ').slice(0, SEEN_CHARACTERS);
  process.stdout.write(
    `onejob-prove ${JSON.stringify({ id, seen: clip(seen), said: clip(said) })}\n`,
  );
}

const turn = process.env.PROVE_TURN;
const all = JSON.parse(readFileSync(join(here, 'probes.json'), 'utf8'));
const probes = all.filter((one) => one.turn === turn);
const queue = probes.filter(({ probe }) => probe.do === 'connect');
const connector = async () => {
  for (let one = queue.shift(); one !== undefined; one = queue.shift())
    report(one.id, await run(one));
};
await Promise.all(Array.from({ length: CONNECTIONS_AT_ONCE }, connector));
for (const one of probes) {
  if (one.probe.do !== 'connect') report(one.id, await run(one));
}
