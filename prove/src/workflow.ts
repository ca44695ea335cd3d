/** The files of the repository that a proof runs: a workflow of one job, the probe, and its list. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Attack, FloodAttack, Probe, ReplayAttack, Turn } from './attack.ts';
import { JOB_SECRET } from './attacks/credentials.ts';
import {
  ADDRESSES_SCRIPT,
  NEIGHBOUR,
  NEIGHBOUR_ADDRESSES,
  neighbourScript,
} from './attacks/neighbour.ts';
import { PUBLIC_CONTROL } from './attacks/network.ts';
import { LEASE_LABEL } from './leases.ts';
import {
  CONTENT_STAY_SECONDS,
  JOB_MINUTES,
  LOG_FLOOD_BYTES,
  MESSAGE_FLOOD_BYTES,
} from './limits.ts';

export const WORKFLOW_FILE = '.github/workflows/prove.yml';

/** Of every job that has a machine: it decides which image that gets. */
export const PROOF_LABEL = 'ubuntu-latest';

/** The secret is one on the side of the sandbox, and an ordinary variable in the control. */
const workflow = (turn: Turn): string => `name: prove
on: push
jobs:
  ${turn}:
    runs-on: ${PROOF_LABEL}
    timeout-minutes: ${JOB_MINUTES}
    steps:
      - uses: actions/checkout@v4
      - uses: ./prove
        env:
          PROVE_TURN: ${turn}
          ${JOB_SECRET}: \${{ secrets.${JOB_SECRET} || vars.${JOB_SECRET} }}
          PROVE_PROXY: \${{ vars.PROVE_PROXY }}
`;

/** A job that only an agent of the proof takes. */
export const leaseFiles = (): Record<string, string> => ({
  [WORKFLOW_FILE]: `name: prove
on: push
jobs:
  lease:
    runs-on: ${LEASE_LABEL}
    steps:
      - run: exit 1
`,
});

/** The probe is an action: actions have more of the job's credentials than scripts. */
const ACTION = `name: probe
description: Tries what probes.json lists
runs:
  using: node24
  main: probe.mjs
`;

/** Says a row every second until it is ended. */
export const witnessFiles = (): Record<string, string> => ({
  [WORKFLOW_FILE]: `name: prove
on: push
jobs:
  witness:
    runs-on: ${PROOF_LABEL}
    timeout-minutes: ${JOB_MINUTES}
    steps:
      - run: while true; do echo "witness $(date)"; sleep 1; done
`,
});

const LOG_FLOOD = `row=$(head -c 16000 /dev/zero | tr '\\0' x); yes "$row" | head -c ${LOG_FLOOD_BYTES}`;

/** A flood of the log takes a shell; one of the link an action, which is run by the runner's own Node. */
export function floodFiles({ flood, id }: Pick<FloodAttack, 'flood' | 'id'>) {
  const head = `name: prove
on: push
jobs:
  flood:
    runs-on: ${PROOF_LABEL}
    timeout-minutes: ${JOB_MINUTES}
    steps:
`;
  if (flood === 'log') {
    return { [WORKFLOW_FILE]: `${head}      - run: ${JSON.stringify(LOG_FLOOD)}\n` };
  }
  return {
    [WORKFLOW_FILE]: `${head}      - uses: actions/checkout@v4
      - uses: ./prove
        env: { FLOOD: ${flood}, ID: ${id}, BYTES: ${MESSAGE_FLOOD_BYTES} }
`,
    'prove/action.yml': ACTION.replace('probe.mjs', 'flood.mjs'),
    'prove/flood.mjs': readFileSync(join(import.meta.dirname, 'probe', 'flood.mjs'), 'utf8'),
  };
}

/** @param program of `probe/devices.c`, compiled */
export const devicesFiles = (program: Buffer): Record<string, string> => ({
  [WORKFLOW_FILE]: `name: prove
on: push
jobs:
  devices:
    runs-on: ${PROOF_LABEL}
    timeout-minutes: ${JOB_MINUTES}
    steps:
      - uses: actions/checkout@v4
      - run: base64 -d devices > "$RUNNER_TEMP/devices" && chmod 700 "$RUNNER_TEMP/devices"
      - run: '"$RUNNER_TEMP/devices"'
`,
  devices: program.toString('base64'),
});

/** Its report says that the job has written. */
export const CONTENT_PROBE = 'content';
const CONTENT_STAY_PROBE = 'content-stay';

type ListedProbe = { id: string; turn: Turn; probe: Probe };

/** Reports of a replay: what was taken, its use where it belongs, and where it does not. */
export const replayIds = (id: string) => ({
  taken: id,
  own: `${id}-own`,
  elsewhere: `${id}-elsewhere`,
});

function listProbes(attack: Attack, taken: ReadonlyMap<string, string>): ListedProbe[] {
  if (attack.kind === 'sandbox') return attack.probes.map((one) => ({ id: attack.id, ...one }));
  if (attack.kind !== 'replay') return [];
  // Whose it is, and who else uses it.
  const [owner, other] = attack.where === 'later' ? TURNS.later : TURNS.beside;
  const ids = replayIds(attack.id);
  const take = `(${attack.take}) | od -A n -v -t x1 | tr -d " \\n"`;
  const script = (hex: string): Probe => ({
    do: 'script',
    script: `HEX=${hex}; export HEX; ${attack.use}`,
  });
  const hex = (taken.get(ids.taken) ?? '').replaceAll(/[^0-9a-f]/g, '');
  const own: ListedProbe[] = [
    { id: ids.taken, turn: owner, probe: { do: 'script', script: take } },
    { id: ids.own, turn: owner, probe: script(`$( ${take} )`) },
  ];
  // What could not be taken cannot be used.
  return hex === '' ? own : [...own, { id: ids.elsewhere, turn: other, probe: script(hex) }];
}

const TURNS = { later: ['first', 'next'], beside: ['beside', 'first'] } as const;

/** The job beside the first: it shows its value and what is taken of it, and stays. */
export const neighbourFiles = (
  value: string,
  replays: readonly ReplayAttack[],
): Record<string, string> =>
  filesWith('beside', [
    ...replays.flatMap((attack) => listProbes(attack, new Map())),
    {
      ...{ id: NEIGHBOUR_ADDRESSES, turn: 'beside' },
      probe: { do: 'script', script: ADDRESSES_SCRIPT },
    },
    { id: NEIGHBOUR, turn: 'beside', probe: { do: 'stay', script: neighbourScript(value) } },
  ]);

/**
 * @param content what the job writes to its disk, for the search for remains; empty: nothing
 * @param taken what the first job reported, for the next
 */
export function jobFiles(
  attacks: readonly Attack[],
  turn: Turn,
  content: string,
  taken: ReadonlyMap<string, string>,
): Record<string, string> {
  const reachesOut = attacks.some((attack) => attack.class === 'network');
  // In two parts: whole it is in no file of the repository, and what is found was written by the job.
  const half = Math.floor(content.length / 2);
  const parts = `${content.slice(0, half)} ${content.slice(half)}`;
  const write: Probe = { do: 'script', script: `printf '%s%s\\n' ${parts} > content; sync` };
  // Long enough for the host to look for it.
  const stay: Probe = { do: 'script', script: `sleep ${CONTENT_STAY_SECONDS}` };
  const list: ListedProbe[] = [
    ...(reachesOut ? [{ ...PUBLIC_CONTROL, turn: 'first' as const }] : []),
    ...(content === '' ? [] : [{ id: CONTENT_PROBE, turn: 'first' as const, probe: write }]),
    ...attacks.flatMap((attack) => listProbes(attack, taken)),
    ...(content === '' ? [] : [{ id: CONTENT_STAY_PROBE, turn: 'first' as const, probe: stay }]),
  ];
  return filesWith(turn, list);
}

const filesWith = (turn: Turn, list: readonly ListedProbe[]): Record<string, string> => ({
  [WORKFLOW_FILE]: workflow(turn),
  'prove/action.yml': ACTION,
  'prove/probe.mjs': readFileSync(join(import.meta.dirname, 'probe', 'probe.mjs'), 'utf8'),
  'prove/probes.json': JSON.stringify(list.filter((one) => one.turn === turn)),
});
