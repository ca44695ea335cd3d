/**
 * Dangerous things have one door each: the environment, other processes, chance, time. These rules
 * say where the door is and refuse every other place.
 */

import type { Violation } from './rule.ts';
import type { SourceFile } from './source-file.ts';

/** Zones that look at the system from outside; tests do as well. */
const OUTSIDE_ZONES = new Set(['testing', 'e2e', 'bench', 'tools']);
const PURE_ZONES = new Set(['protocol', 'workflow', 'masking']);

function isOutside(file: SourceFile): boolean {
  return file.isTest || OUTSIDE_ZONES.has(file.zone);
}

/** `process.env` is read in a zone's `config` room, which hands on a typed value. */
export function checkEnvironment(file: SourceFile): Violation[] {
  if (isOutside(file) || file.path.split('/').includes('config')) return [];
  const lines = [
    ...file.members
      .filter(({ object, property }) => object === 'process' && property === 'env')
      .map(({ line }) => line),
    ...file.imports
      .filter(
        ({ specifier, names }) => /^(node:)?process$/.test(specifier) && names.includes('env'),
      )
      .map(({ line }) => line),
  ];
  return lines.map((line) => ({
    rule: 'environment',
    file: file.path,
    line,
    subject: 'process.env',
    message:
      'reads process.env outside a config room: there it is validated once, typed, and told from secrets',
  }));
}

/** Where processes may be started, and why there. */
const SPAWNING_ROOMS: Readonly<Record<string, string>> = {
  'agent/src/host/': 'the one place where the agent touches its host',
  'guest-runner/src/steps/': 'steps are processes',
  'guest-runner/src/proxy/': 'a program takes connections that Node cannot',
  'control-plane/src/git/': 'git http-backend',
  'cli/src/checkout/': "the user's own git in the user's own checkout",
  'prove/src/scene/': 'the host that is attacked: namespaces, and processes to be found',
  'prove/src/probe/': 'attacks are processes of a job',
  'image/': 'building an image runs mmdebstrap and others',
  'tools/': 'runs the checks',
  'bench/': 'measures processes',
  'e2e/': 'drives the programs',
  'testing/': 'starts what is tested',
};

const SPAWNING_MODULES = /^(node:)?(child_process|cluster)$/;

export function checkSpawning(file: SourceFile): Violation[] {
  if (file.isTest) return [];
  if (Object.keys(SPAWNING_ROOMS).some((room) => file.path.startsWith(room))) return [];
  return file.imports
    .filter(({ specifier, isTypeOnly }) => SPAWNING_MODULES.test(specifier) && !isTypeOnly)
    .map(({ specifier, line }) => ({
      rule: 'spawning',
      file: file.path,
      line,
      subject: specifier,
      message: `imports ${specifier} outside the rooms where processes may start: ${Object.keys(SPAWNING_ROOMS).join(', ')}`,
    }));
}

const RANDOM_NAMES = new Set([
  'random',
  'randomUUID',
  'randomBytes',
  'randomInt',
  'randomFill',
  'randomFillSync',
  'getRandomValues',
  'webcrypto',
  'generateKey',
  'generateKeySync',
  'generateKeyPair',
  'generateKeyPairSync',
]);
const RANDOM_OBJECTS = new Set(['Math', 'crypto', 'webcrypto', 'subtle']);
const RANDOM_MODULES = /^(node:)?crypto$/;
/** They make keys, which need chance. */
const SECRET_MODULES = /^(node:)?(tls|https)$/;

/**
 * Chance in the guest runner: a restored machine repeats it in every copy. What is bundled with it from
 * elsewhere is looked at whole by guest-runner/tests/randomness.test.ts.
 */
export function checkGuestRandomness(file: SourceFile): Violation[] {
  if (!file.path.startsWith('guest-runner/src/') || file.isTest) return [];
  const found = [
    ...file.members
      .filter(({ object, property }) => RANDOM_OBJECTS.has(object) && RANDOM_NAMES.has(property))
      .map(({ object, property, line }) => ({ subject: `${object}.${property}`, line })),
    ...file.imports
      .filter(({ specifier }) => RANDOM_MODULES.test(specifier))
      .flatMap(({ names, line }) =>
        names.filter((name) => RANDOM_NAMES.has(name)).map((subject) => ({ subject, line })),
      ),
    ...file.imports
      .filter(({ specifier, isTypeOnly }) => SECRET_MODULES.test(specifier) && !isTypeOnly)
      .map(({ specifier, line }) => ({ subject: specifier, line })),
  ];
  return found.map(({ subject, line }) => ({
    rule: 'guest-randomness',
    file: file.path,
    line,
    subject,
    message: `uses ${subject}: a process restored from a snapshot shares its random state with every other restore; ids and entropy come from the agent`,
  }));
}

const CLOCKS = new Set(['Date.now', 'performance.now', 'process.hrtime', 'Temporal.Now']);
const IMPURE_CALLS = new Set(['fetch', 'setTimeout', 'setInterval', 'setImmediate']);

/** No clock, process, chance or I/O where the same input must give the same output. */
export function checkPurity(file: SourceFile): Violation[] {
  if (!PURE_ZONES.has(file.zone) || file.isTest || file.isGenerated) return [];
  const found = [
    ...file.members
      .map(({ object, property, line }) => ({ subject: `${object}.${property}`, line }))
      .filter(
        ({ subject }) =>
          CLOCKS.has(subject) || subject === 'Math.random' || subject.startsWith('process.'),
      ),
    ...file.calls
      .filter(
        ({ object, property }) =>
          IMPURE_CALLS.has(object) || (object === 'Date' && property === '()'),
      )
      .map(({ object, line }) => ({ subject: `${object}()`, line })),
  ];
  return found.map(({ subject, line }) => ({
    rule: 'purity',
    file: file.path,
    line,
    subject,
    message: `uses ${subject}: ${file.zone} has no clock, process, chance or I/O; take the value as an argument`,
  }));
}
