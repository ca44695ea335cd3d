/**
 * Stand-ins for Firecracker and its jailer, started with their command lines. Nothing in onejob knows of
 * them: tests put start scripts of these where the real programs would be.
 *
 *     node _firecracker-stand-in.ts jailer <options> --id ... -- --api-sock ...
 *     node _firecracker-stand-in.ts firecracker <options> --id ... --api-sock ...
 *
 * The jailer checks its arguments as docs/jailer.md has them, lays out its directories, copies the program
 * and becomes it, in a network namespace where it is told one, with an empty environment. In place of the
 * chroot, which would hide Node itself, Firecracker's stand-in is told its root and its user: it looks for
 * every path below that root, as that user. So what is not in the jail, or not readable there, is missed.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  openSync,
  realpathSync,
  statSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { end, type StandInOptions } from './_firecracker-options.ts';

/** Option names, and whether each takes a value. */
type Grammar = Readonly<Record<string, boolean>>;

/** docs/jailer.md, "Jailer Usage". */
const JAILER: Grammar = {
  ...{ id: true, 'exec-file': true, uid: true, gid: true, 'chroot-base-dir': true, netns: true },
  ...{ 'parent-cgroup': true, 'cgroup-version': true, cgroup: true, 'resource-limit': true },
  ...{ daemonize: false, 'new-pid-ns': false, version: false },
};
/** `firecracker --help`, of 1.10. */
const FIRECRACKER: Grammar = {
  ...{ id: true, 'api-sock': true, 'config-file': true, 'no-api': false, version: false },
  ...{ level: true, 'log-path': true, 'show-level': false, 'show-log-origin': false, module: true },
  ...{ 'start-time-us': true, 'start-time-cpu-us': true, 'parent-cpu-time-us': true },
  ...{ metadata: true, 'metrics-path': true, 'seccomp-filter': true, 'no-seccomp': false },
  ...{ 'boot-timer': false, 'http-api-max-payload-size': true, 'mmds-size-limit': true },
};
const REPEATED = new Set(['cgroup', 'resource-limit']);

function readWords(grammar: Grammar, words: readonly string[]) {
  const values = new Map<string, string[]>();
  let at = 0;
  for (; at < words.length && words[at] !== '--'; at++) {
    const [, name = '', inline] = /^--([a-z-]+)(?:=(.*))?$/s.exec(words[at] ?? '') ?? [];
    const takesValue = grammar[name];
    if (takesValue === undefined) fail(`Found argument '${words[at]}' which wasn't expected`);
    const known = values.get(name) ?? [];
    if (known.length > 0 && !REPEATED.has(name)) fail(`The argument '--${name}' was given twice`);
    const value = !takesValue ? '' : (inline ?? words[++at]);
    if (value === undefined || value === '--') fail(`The argument '${name}' requires a value`);
    values.set(name, [...known, value]);
  }
  return { values, extra: words.slice(at + 1) };
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  end(1);
}

function jail(options: StandInOptions, words: readonly string[]): void {
  const { values, extra } = readWords(JAILER, words);
  if (values.has('version')) return void process.stdout.write(`Jailer v${options.jailerVersion}\n`);
  // The trial of the driver goes well, or there is no driver whose machines could fail.
  const isTrial = words.includes('--no-api');
  if (options.fault?.kind === 'jailer' && !isTrial) end(options.fault.status);
  if (process.getuid?.() !== 0) fail('the jailer takes root');
  const need = (name: string): string => values.get(name)?.[0] ?? fail(`--${name} is missing`);
  const id = need('id');
  if (!/^[A-Za-z0-9-]{1,64}$/.test(id)) fail(`Invalid instance ID: ${id}`);
  const program = realpathSync(need('exec-file'));
  if (!basename(program).includes('firecracker')) fail(`Invalid exec-file name: ${program}`);
  const [uid, gid] = [numberOf(need('uid')), numberOf(need('gid'))];
  if (!['1', '2'].includes(values.get('cgroup-version')?.[0] ?? '1'))
    fail('Invalid cgroup version');
  for (const limit of values.get('resource-limit') ?? []) {
    if (!/^(fsize|no-file)=\d+$/.test(limit)) fail(`Invalid resource argument: ${limit}`);
  }
  if (values.has('new-pid-ns') || values.has('daemonize')) fail('the stand-in knows no such flag');
  const base = realpathSync(values.get('chroot-base-dir')?.[0] ?? '/srv/jailer');
  const root = join(base, basename(program), id, 'root');
  mkdirSync(root, { recursive: true });
  copyFileSync(program, join(root, basename(program)));
  for (const name of ['.', 'dev', 'dev/net', 'run']) {
    mkdirSync(join(root, name), { recursive: true });
    chmodSync(join(root, name), 0o700);
    chownSync(join(root, name), uid, gid);
  }
  const netns = values.get('netns')?.[0];
  if (netns !== undefined) statSync(netns);
  const command = [join(root, basename(program)), `--id=${id}`, '--start-time-us=1'];
  command.push('--start-time-cpu-us=1', ...extra);
  const entered = netns === undefined ? [] : ['/usr/bin/nsenter', `--net=${netns}`, '--'];
  const [file = '', ...args] = [...entered, ...command];
  process.execve?.(file, [file, ...args], {
    STAND_IN_ROOT: root,
    STAND_IN_USER: `${uid}:${gid}`,
  });
}

const numberOf = (value: string): number =>
  /^\d{1,10}$/.test(value) ? Number(value) : fail(`Invalid uid or gid: ${value}`);

async function firecracker(options: StandInOptions, words: readonly string[]): Promise<void> {
  const { values } = readWords(FIRECRACKER, words);
  if (values.has('version'))
    return void process.stdout.write(`Firecracker v${options.version}\n\n`);
  // While we are root: another user may not read it.
  const { runFirecracker } = await import('./_firecracker-vmm.ts');
  const [root = '', user = ''] = [process.env['STAND_IN_ROOT'], process.env['STAND_IN_USER']];
  const { recordPath } = options;
  const record = recordPath === undefined ? undefined : openSync(recordPath, 'a');
  if (root !== '') process.chdir(root);
  if (user !== '') {
    const [uid = 0, gid = 0] = user.split(':').map(Number);
    process.setgroups?.([]);
    process.setegid?.(gid);
    process.seteuid?.(uid);
  }
  const first = (name: string): string | undefined => values.get(name)?.[0];
  await runFirecracker(options, {
    id: first('id') ?? 'anonymous-instance',
    apiSocket: values.has('no-api') ? undefined : (first('api-sock') ?? '/run/firecracker.socket'),
    configFile: first('config-file'),
    isJailed: root !== '',
    record,
  });
}

const [program, text = '{}', ...words] = process.argv.slice(2);
const options = JSON.parse(text) as StandInOptions;
if (program === 'jailer') jail(options, words);
else await firecracker(options, words);
