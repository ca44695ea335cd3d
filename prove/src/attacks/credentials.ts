/** Credentials: of the host, of the platform, of other jobs, and of the job's own log. */
import type { Evidence, SandboxAttack } from '../attack.ts';
import {
  CANNOT_LOOK,
  HOST_CREDENTIALS,
  PROCESS_CONTROL,
  secretForm,
  underProc,
  type World,
} from './world.ts';

const ALIKE: Evidence = { by: 'alike' };
const NOT_THERE = 'the file is not there';

/** The job's secret: on the side of the control, a variable that nobody registered. */
export const JOB_SECRET = 'PROVE_SECRET';

type Try = {
  id: string;
  title: string;
  script: string;
  /** Its output is the job's, not the probe's. */
  prints?: boolean;
  evidence: Evidence;
  expected?: string;
  control?: string;
};

const asAttack = ({
  expected = NOT_THERE,
  control = PROCESS_CONTROL,
  ...rest
}: Try): SandboxAttack => ({
  kind: 'sandbox',
  id: rest.id,
  class: 'credentials',
  title: rest.title,
  expected,
  control,
  probes: [
    {
      turn: 'first',
      probe: { do: rest.prints === true ? 'print' : 'script', script: rest.script },
    },
  ],
  evidence: rest.evidence,
});

export function credentialAttacks(
  { side, dataDirectory }: World,
  jobSecret: string,
): SandboxAttack[] {
  const hosts = Object.entries(HOST_CREDENTIALS).map(([name, { path, what }]) => ({
    id: `credential-${name}`,
    title: `reads ${what}`,
    script: `grep -a -o "${secretForm(`credential-${name}`)}" ${path}`,
    evidence: { by: 'secret', name: `credential-${name}` } as const,
  }));
  // Not `ls`: a kernel of gVisor's may refuse what that asks of a file. Where nothing is the shell says `*`.
  const list = (directory: string): string =>
    `cd ${directory} && printf "%s\\n" * | grep -v -x -F "*"`;
  const hash = (path: string): string => `test -s ${path} && sha256sum < ${path}`;
  const platform: Try[] = [
    {
      id: 'platform-token',
      title: "reads the token of the platform's API",
      script: hash(`${dataDirectory}/api.token`),
      evidence: ALIKE,
    },
    {
      id: 'platform-key',
      title: 'reads the key that seals stored secrets',
      script: hash(`${dataDirectory}/keys/master.key`),
      evidence: ALIKE,
    },
    {
      id: 'platform-database',
      title: "reads the platform's database",
      script: `${list(`${dataDirectory}/pg/global`)} | head -n 5`,
      evidence: ALIKE,
    },
    {
      id: 'platform-repositories',
      title: 'reads the repositories of the platform',
      script: list(`${dataDirectory}/repositories`),
      evidence: ALIKE,
    },
    {
      id: 'platform-journals',
      title: "reads the agent's journals",
      script: list(`${dataDirectory}/agent/journals`),
      evidence: { by: 'text', text: '.jsonl' },
    },
    {
      id: 'platform-environment',
      title: 'reads the environment of the agent',
      script: underProc(
        `cat /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n" | grep -a -o "${secretForm('agent')}"`,
      ),
      evidence: { by: 'secret', name: 'agent' },
      expected: "only the machine's own processes are there",
    },
  ];
  return [...hosts, ...platform, ...logged(jobSecret), onCommandLine(side)].map(asAttack);
}

/**
 * What the machine was started with: everybody in it can read that, and so can what saves or lists its
 * machines. A probe has the secret and the job's token in its own environment: there they are found.
 */
function onCommandLine(side: World['side']): Try {
  const places = {
    sandbox: '/proc/cmdline /proc/1/cmdline /proc/1/environ',
    control: '/proc/self/environ',
  };
  const find = (what: string, variable: string): string =>
    `if [ -z "$${variable}" ]; then echo "${CANNOT_LOOK}the job has no ${what}" >&2; ` +
    `elif printf "%s" "$text" | grep -q -F -e "$${variable}"; then echo "found a ${what}"; fi; `;
  return {
    id: 'command-line-secrets',
    title:
      "finds the job's secret or token in what the kernel or the first process was started with",
    script:
      `text=$(cat ${places[side]} 2>/dev/null | tr "\\0" "\\n"); echo "looked at \${#text} characters"; ` +
      `[ -n "$text" ] || echo "${CANNOT_LOOK}nothing can be read" >&2; ` +
      find('secret', JOB_SECRET) +
      find('token', 'ACTIONS_RUNTIME_TOKEN'),
    evidence: { by: 'text', text: 'found a ' },
    expected: 'they come over the link, to a machine that runs already',
    control: 'the same search where the job has them: in the environment of the probe',
  };
}

/** Ways a job prints its secret; what is no secret shows the same way in the control. */
function logged(jobSecret: string): Try[] {
  const { length } = jobSecret;
  const half = Math.floor(length / 2);
  const ways: readonly [id: string, how: string, script: string, shown: string][] = [
    ['plain', 'as it is', `echo "<$${JOB_SECRET}>"`, `<${jobSecret}>`],
    [
      'base64',
      'in base64',
      `printf %s "$${JOB_SECRET}" | base64 -w 0`,
      Buffer.from(jobSecret).toString('base64'),
    ],
    ['json', 'in JSON', `printf '{"value":"%s"}' "$${JOB_SECRET}"`, `{"value":"${jobSecret}"}`],
    ['url', 'in an address', `printf 'http://x.example/?q=%s' "$${JOB_SECRET}"`, `?q=${jobSecret}`],
    [
      'cut',
      'in two writes of one line',
      `printf cut:; printf %s "$${JOB_SECRET}" | cut -c 1-${half} | tr -d "\\n"; sleep 0.2; printf %s "$${JOB_SECRET}" | cut -c ${half + 1}-`,
      `cut:${jobSecret}`,
    ],
  ];
  return ways.map(([id, how, script, shown]) => ({
    id: `log-${id}`,
    title: `prints its secret ${how}`,
    script,
    prints: true,
    evidence: { by: 'log', text: shown },
    expected: 'the log shows a mask',
    control: 'the same text, not registered as a secret',
  }));
}
