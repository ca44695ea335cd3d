/**
 * `npm run demo`: the example repository, run as a user would run it, each job in a microVM of its
 * own; then five lines on what was seen, read from the run and its logs, and what to try next.
 */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram } from '@onejob/cli';
import type { Run } from '@onejob/protocol';

const EXAMPLE = join(import.meta.dirname, '..', '..', 'examples', 'calendar');
const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'src', 'main.ts');
/** Logs of the demo are some kilobytes; more is a fault, not a reason to fail for a full buffer. */
const OUTPUT_BYTES = 64 * 1024 * 1024;

/** An address of this very host, which no job may reach. */
function hostAddress(): string {
  const addresses = Object.values(networkInterfaces()).flat();
  const outside = addresses.find((one) => one?.family === 'IPv4' && !one.internal);
  return outside?.address ?? '127.0.0.1';
}

function makeCheckout(checkout: string): void {
  cpSync(EXAMPLE, checkout, { recursive: true });
  const git = (...words: string[]): void => {
    const who = ['-c', 'user.name=demo', '-c', 'user.email=demo@localhost'];
    execFileSync('git', [...who, ...words], { cwd: checkout, stdio: 'ignore' });
  };
  git('init', '--initial-branch=main');
  git('add', '--all');
  git('commit', '--message=calendar');
}

type DemoRow = { job: string; text: string };

/** What the platform kept of the latest run. */
function readRun(data: string): { run: Run; rows: DemoRow[] } {
  const ask = (...words: string[]): string =>
    execFileSync(process.execPath, [MAIN, '--data-dir', data, ...words], {
      encoding: 'utf8',
      maxBuffer: OUTPUT_BYTES,
    });
  const [run] = JSON.parse(ask('list', '--limit', '1', '--json')) as Run[];
  if (run === undefined) throw new Error('The demo ran, but no run is stored.');
  const lines = ask('logs', 'latest', '--json').split('\n').filter(Boolean);
  return { run, rows: lines.map((line) => JSON.parse(line) as DemoRow) };
}

/** Five lines. Throws where what was seen is not what onejob promises. */
function tell({ run, rows }: { run: Run; rows: DemoRow[] }, secret: string): string[] {
  const text = rows.map((row) => row.text).join('\n');
  const kernels = new Set(rows.flatMap((row) => /^Linux (\d\S*)$/.exec(row.text)?.[1] ?? []));
  const outputs = run.jobs.find((job) => job.key === 'test')?.outputs['digest'];
  const masked = rows.filter((row) => row.job === 'package' && /\*\*\*/.test(row.text));
  const refused = rows.flatMap((row) => /^refused: (\S+)/.exec(row.text)?.[1] ?? []);
  const base64 = Buffer.from(secret).toString('base64').slice(0, 24);
  if (text.includes(secret) || text.includes(base64)) throw new Error('The secret was shown.');
  if (kernels.size === 0 || refused.length !== 3) throw new Error('The walls were not seen.');
  const machines = new Set(run.jobs.map((job) => job.sandboxId)).size;
  return [
    `${run.jobs.length} jobs ran in ${machines} machines, with kernel ${[...kernels].join(', ')} (this host: ${release()}); every machine is gone.`,
    `package started when both legs of test had ended, and checked their output: ${outputs}.`,
    `A secret was used and shown as *** in ${masked.length} rows of the log, in base64, too.`,
    `walls was refused the metadata service, a private address and this host: ${refused.join(', ')}.`,
    'Next: npm run onejob -- run, in a checkout of yours; npm run onejob -- --help; npm test.',
  ];
}

const directory = mkdtempSync(join(tmpdir(), 'onejob-demo-'));
try {
  const checkout = join(directory, 'calendar');
  makeCheckout(checkout);
  process.chdir(checkout);
  // A test sets it, to look for it in everything that is shown.
  const secret = process.env['ONEJOB_DEMO_SECRET'] ?? randomBytes(20).toString('hex');
  process.env['DEPLOY_TOKEN'] = secret;
  const data = join(directory, 'data');
  const flags = ['-s', 'DEPLOY_TOKEN', '--var', `HOST_ADDRESS=${hostAddress()}`];
  process.exitCode = await runProgram([
    ...['--data-dir', data, 'run', ...flags],
    ...process.argv.slice(2),
  ]);
  if (process.exitCode === 0) {
    for (const line of tell(readRun(data), secret)) process.stdout.write(`${line}\n`);
  }
} finally {
  process.chdir(tmpdir());
  rmSync(directory, { recursive: true, force: true });
}
