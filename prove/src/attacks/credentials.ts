/** Credentials: of the host, of the platform, of other jobs, and of the job's own log. */
import type { Evidence, SandboxAttack } from '../attack.ts';
import { HOST_CREDENTIALS, PROCESS_CONTROL, secretForm, underProc, type World } from './world.ts';

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

export function credentialAttacks({ dataDirectory }: World, jobSecret: string): SandboxAttack[] {
  const hosts = Object.entries(HOST_CREDENTIALS).map(([name, { path, what }]) => ({
    id: `credential-${name}`,
    title: `reads ${what}`,
    script: `grep -a -o "${secretForm(`credential-${name}`)}" ${path}`,
    evidence: { by: 'secret', name: `credential-${name}` } as const,
  }));
  // Not `ls`: a kernel of gVisor's may refuse what that asks of a file.
  const list = (directory: string): string => `cd ${directory} && printf "%s\\n" *`;
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
  return [...hosts, ...platform, ...logged(jobSecret)].map(asAttack);
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
