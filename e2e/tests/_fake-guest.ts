/**
 * Guests that misbehave, as scripts the process driver starts in place of the guest runner. They
 * speak real HTTP/2 on the real carriers, as an attacker who replaced the runner could.
 */
import { copyFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Connects both carriers; `greet(onJob)` then says hello and that it is ready, and calls back with
 * the job's line. `write` sends one JSON line.
 */
const PROLOGUE = `
const { connect } = require('node:net');
const http2 = require('node:http2');
const carrier = (name) => connect(process.env['ONEJOB_' + name + '_SOCKET']);
const control = carrier('CONTROL');
const bulk = carrier('BULK');
for (const socket of [control, bulk]) socket.on('error', () => {});
const opened = () => {
  const session = http2.connect('http://agent', { createConnection: () => control });
  session.on('error', () => {});
  return session;
};
const post = (session, path) => {
  const stream = session.request({ ':method': 'POST', ':path': '/onejob.guest.v1/' + path }, { endStream: false });
  stream.on('error', () => {});
  return stream;
};
const write = (stream, message) => stream.write(JSON.stringify(message) + '\\n');
const greet = (onJob) => {
  const session = opened();
  const hello = post(session, 'hello');
  hello.end(JSON.stringify({ protocol: 'onejob.guest.v1', runnerVersion: 'fake', nodeVersion: 'fake', uptimeMs: 0 }) + '\\n');
  hello.resume();
  hello.once('end', () => {
    const stream = post(session, 'control');
    let isGiven = false;
    stream.on('data', () => {
      if (!isGiven) onJob(session, stream);
      isGiven = true;
    });
    write(stream, { type: 'ready' });
  });
};
setInterval(() => {}, 1000);
`;

export const GUESTS = {
  neverConnects: `setInterval(() => {}, 1000);`,
  diesAtOnce: `process.stderr.write('no such machine\\n'); process.exit(3);`,
  neverSpeaks: PROLOGUE,
  sendsNoise: `${PROLOGUE} control.write(Buffer.alloc(4096, 0xa5));`,
  speaksBeforeHello: `${PROLOGUE} write(post(opened(), 'control'), { type: 'ready' });`,
  dies: `${PROLOGUE} greet(() => process.exit(9));`,
  floods: `${PROLOGUE} greet((session) => {
    const logs = post(session, 'logs');
    const rows = Array.from({ length: 200 }, () => ({ step: 0, atMs: 1, text: 'flood '.repeat(200) }));
    let offset = 0;
    const flood = () => {
      do { offset += 200; } while (write(logs, { offset: offset - 200, rows }));
      logs.once('drain', flood);
    };
    flood();
  });`,
  floodsWithoutLineEnd: `${PROLOGUE} greet((session, stream) => {
    const flood = () => { while (stream.write('x'.repeat(65536))) {} stream.once('drain', flood); };
    flood();
  });`,
  breaksFrames: `${PROLOGUE} greet(() => control.write(Buffer.alloc(4096, 0xff)));`,
  sendsNonsense: `${PROLOGUE} greet((session, stream) => stream.write('{"type":"finished"\\n'));`,
  blamesThePlatform: `${PROLOGUE} greet((session, stream) => write(stream, {
    type: 'finished', conclusion: 'lost', reason: 'vmm_died', message: 'not me', outputs: {}, atMs: 1,
  }));`,
  skipsLogRows: `${PROLOGUE} greet((session) =>
    write(post(session, 'logs'), { offset: 7, rows: [{ step: 0, atMs: 1, text: 'seven' }] }));`,
  neverReads: `${PROLOGUE} greet(() => {}); setTimeout(() => control.pause(), 300);`,
} as const;

export type GuestProgram = AsyncDisposable & {
  readonly path: string;
  /** From the next sandbox on. */
  become(guest: keyof typeof GUESTS): void;
  becomeRunner(runnerPath: string): void;
};

export function guestProgram(): GuestProgram {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-test-guest-'));
  const path = join(directory, 'guest.cjs');
  return {
    path,
    become: (guest) => writeFileSync(path, GUESTS[guest]),
    becomeRunner: (runnerPath) => copyFileSync(runnerPath, path),
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}
