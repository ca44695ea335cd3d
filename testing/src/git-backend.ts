/** git for tests: commands in a directory, and its own HTTP server (`git http-backend`). */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { dirname, join } from 'node:path';

const WHO = ['-c', 'user.name=a', '-c', 'user.email=a@example.org'];
/** Nothing of the user's or the machine's. */
const ENVIRONMENT = {
  PATH: process.env['PATH'] ?? '',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
};
const SETTINGS = [
  ['safe.directory', '*'],
  ['uploadpack.allowAnySHA1InWant', 'true'],
  ['uploadpack.allowFilter', 'true'],
];

/** Runs git in `directory`. @returns what it says, without white space around */
export const gitIn = (directory: string, ...words: string[]): string =>
  execFileSync('git', [...WHO, ...words], {
    cwd: directory,
    env: ENVIRONMENT,
    encoding: 'utf8',
  }).trim();

/** Writes these files and commits all. @returns the SHA */
export function commitIn(
  directory: string,
  files: Readonly<Record<string, string>>,
  message = 'x',
): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  gitIn(directory, 'add', '--all');
  gitIn(directory, 'commit', '--quiet', '--message', message);
  return gitIn(directory, 'rev-parse', 'HEAD');
}

type BackendRequest = {
  /** A directory of repositories. */
  root: string;
  path: string;
  /** Without its question mark. */
  query: string;
  method: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
};
type BackendAnswer = { status: number; fields: Record<string, string>; body: Buffer };

/** One request of git's smart HTTP, answered from the repositories below `root`. */
export async function answerByGit(request: BackendRequest): Promise<BackendAnswer> {
  const { headers } = request;
  const child = spawn('git', ['http-backend'], {
    env: {
      ...ENVIRONMENT,
      ...Object.fromEntries(
        SETTINGS.flatMap(([key, value], index) => [
          [`GIT_CONFIG_KEY_${index}`, key],
          [`GIT_CONFIG_VALUE_${index}`, value],
        ]),
      ),
      GIT_CONFIG_COUNT: String(SETTINGS.length),
      GIT_PROJECT_ROOT: request.root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: request.path,
      QUERY_STRING: request.query,
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: headers['content-type'] ?? '',
      CONTENT_LENGTH: String(request.body.length),
      HTTP_CONTENT_ENCODING: headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.on('error', () => {}); // it had read enough
  child.stdin.end(request.body);
  const all = await readAll(child.stdout);
  const end = all.indexOf('\r\n\r\n');
  const lines = all.toString('latin1', 0, end).split('\r\n');
  const found = lines.map((line) => line.split(': ', 2) as [string, string]);
  const { Status: status = '200', ...fields } = Object.fromEntries(found);
  return { status: Number.parseInt(status, 10), fields, body: all.subarray(end + 4) };
}

/** The whole of a stream. */
export async function readAll(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync<Buffer>(stream));
}
