/** The files of the repository that a proof runs: a workflow of one job, the probe, and its list. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Attack, Probe, Turn } from './attack.ts';
import { JOB_SECRET } from './attacks/credentials.ts';
import { NEIGHBOUR, neighbourScript } from './attacks/neighbour.ts';
import { PUBLIC_CONTROL } from './attacks/network.ts';
import { JOB_MINUTES } from './limits.ts';

export const WORKFLOW_FILE = '.github/workflows/prove.yml';

/** The secret is one on the side of the sandbox, and an ordinary variable in the control. */
const workflow = (turn: Turn): string => `name: prove
on: push
jobs:
  ${turn}:
    runs-on: ubuntu-latest
    timeout-minutes: ${JOB_MINUTES}
    steps:
      - uses: actions/checkout@v4
      - uses: ./prove
        env:
          PROVE_TURN: ${turn}
          ${JOB_SECRET}: \${{ secrets.${JOB_SECRET} || vars.${JOB_SECRET} }}
          PROVE_PROXY: \${{ vars.PROVE_PROXY }}
`;

/** The probe is an action: actions have more of the job's credentials than scripts. */
const ACTION = `name: probe
description: Tries what probes.json lists
runs:
  using: node24
  main: probe.mjs
`;

const CONTENT_PROBE = 'content';

type ListedProbe = { id: string; turn: Turn; probe: Probe };

/** Reports of a replay: what was taken, its use where it belongs, and where it does not. */
export const replayIds = (id: string) => ({ taken: id, own: `${id}-own`, later: `${id}-next` });

function listProbes(attack: Attack, taken: ReadonlyMap<string, string>): ListedProbe[] {
  if (attack.kind === 'remains') return [];
  if (attack.kind === 'sandbox') return attack.probes.map((one) => ({ id: attack.id, ...one }));
  const ids = replayIds(attack.id);
  const take = `(${attack.take}) | od -A n -v -t x1 | tr -d " \\n"`;
  const script = (hex: string): Probe => ({
    do: 'script',
    script: `HEX=${hex}; export HEX; ${attack.use}`,
  });
  const hex = (taken.get(ids.taken) ?? '').replaceAll(/[^0-9a-f]/g, '');
  const first: ListedProbe[] = [
    { id: ids.taken, turn: 'first', probe: { do: 'script', script: take } },
    { id: ids.own, turn: 'first', probe: script(`$( ${take} )`) },
  ];
  // What could not be taken cannot be used.
  return hex === '' ? first : [...first, { id: ids.later, turn: 'next', probe: script(hex) }];
}

/** The job beside the first: it has one value, and shows it. */
export const neighbourFiles = (value: string): Record<string, string> =>
  filesWith('beside', [
    { id: NEIGHBOUR, turn: 'beside', probe: { do: 'stay', script: neighbourScript(value) } },
  ]);

/**
 * @param content what the job writes to its disk, so that the search for remains has something to find
 * @param taken what the first job reported, for the next
 */
export function jobFiles(
  attacks: readonly Attack[],
  turn: Turn,
  content: string,
  taken: ReadonlyMap<string, string>,
): Record<string, string> {
  const reachesOut = attacks.some((attack) => attack.class === 'network');
  const write: Probe = { do: 'script', script: `echo ${content} > content; sync` };
  const list: ListedProbe[] = [
    ...(reachesOut ? [{ ...PUBLIC_CONTROL, turn: 'first' as const }] : []),
    { id: CONTENT_PROBE, turn: 'first', probe: write },
    ...attacks.flatMap((attack) => listProbes(attack, taken)),
  ];
  return filesWith(turn, list);
}

const filesWith = (turn: Turn, list: readonly ListedProbe[]): Record<string, string> => ({
  [WORKFLOW_FILE]: workflow(turn),
  'prove/action.yml': ACTION,
  'prove/probe.mjs': readFileSync(join(import.meta.dirname, 'probe', 'probe.mjs'), 'utf8'),
  'prove/probes.json': JSON.stringify(list.filter((one) => one.turn === turn)),
});
