/**
 * Both ends of what leads to the neighbour, each with something that answers there. A sandbox with a
 * network of its own has them already; for a control they are made, and nothing holds who asks:
 *
 *     namespace: something answers    up0 == veth    the host: something answers
 *     of the sandbox, or a stand-in
 */
import type { Place, Places } from '../attack.ts';
import { ADDRESSES_SCRIPT, endProgram, ownPlaces } from '../attacks/neighbour.ts';
import { runScript, startLasting, tryScript, type Lasting } from './tools.ts';

export type NeighbourEnds = AsyncDisposable & { readonly places: Places };

/** As an agent has them; no agent takes these. */
const STAND_IN = {
  ...{ outside: '10.213.255.252', inside: '10.213.255.253' },
  ...{ outside6: 'fd6f:6e65:6a6f:1::fffc', inside6: 'fd6f:6e65:6a6f:1::fffd' },
} as const;

const STAND_IN_SETUP = `
  ip link add prove-end0 type veth peer name up0 netns $END
  ip addr add ${STAND_IN.outside}/32 dev prove-end0
  ip addr add ${STAND_IN.outside6}/128 dev prove-end0 nodad
  ip link set prove-end0 up
  nsenter --target $END --net sh -e -c '
    ip link set lo up
    ip addr add ${STAND_IN.inside}/32 dev up0
    ip addr add ${STAND_IN.inside6}/128 dev up0 nodad
    ip link set up0 up
    ip route add ${STAND_IN.outside}/32 dev up0 src ${STAND_IN.inside}
    ip -6 route add ${STAND_IN.outside6}/128 dev up0 src ${STAND_IN.inside6}
  '
  ip route add ${STAND_IN.inside}/32 dev prove-end0 src ${STAND_IN.outside}
  ip -6 route add ${STAND_IN.inside6}/128 dev prove-end0 src ${STAND_IN.outside6}
`;

/** Of a sandbox that runs; one without a network of its own has no such places. */
export async function openEnds(sandboxId: string, value: string): Promise<NeighbourEnds> {
  // As interfaces and namespaces of sandboxes are called on the host: the id is in them.
  const [veth, namespace] = [`oj${sandboxId.slice(2, 15)}`, `/run/netns/onejob-${sandboxId}`];
  const outside = ownPlaces(await addressesOf(veth, ''));
  const inside = ownPlaces(await addressesOf('up0', `nsenter --net=${namespace} --`));
  if (inside.size === 0) return { places: new Map(), [Symbol.asyncDispose]: async () => {} };
  await using undo = new AsyncDisposableStack();
  const program = ['perl', '-e', endProgram(value)];
  await ready(undo.use(await startLasting('perl', program.slice(1))));
  await ready(undo.use(await startLasting('nsenter', [`--net=${namespace}`, '--', ...program])));
  return owned(undo.move(), placesOf(outside, inside));
}

/** The control's: gone with the process that answers in it. */
export async function openStandIn(value: string): Promise<NeighbourEnds> {
  await using undo = new AsyncDisposableStack();
  const program = ['perl', '-e', endProgram(value)];
  await ready(undo.use(await startLasting('perl', program.slice(1))));
  const end = undo.use(await startLasting('unshare', ['--net', ...program]));
  await ready(end);
  await runScript(STAND_IN_SETUP, { END: String(end.pid) });
  const { outside, outside6, inside, inside6 } = STAND_IN;
  return owned(
    undo.move(),
    placesOf(ownPlaces(`${outside} ${outside6}`), ownPlaces(`${inside} ${inside6}`)),
  );
}

const owned = (undo: AsyncDisposableStack, places: Places): NeighbourEnds => ({
  places,
  [Symbol.asyncDispose]: async () => await undo.disposeAsync(),
});

const addressesOf = async (device: string, enter: string): Promise<string> =>
  await tryScript(
    `${enter} ${ADDRESSES_SCRIPT.replace('ip -o addr show', `ip -o addr show dev ${device}`)}`,
  );

function placesOf(outside: Places, inside: Places): Places {
  const all: [Place, string | undefined][] = [
    ['namespace', inside.get('address')],
    ['namespace-6', inside.get('address-6')],
    ['host-end', outside.get('address')],
    ['host-end-6', outside.get('address-6')],
  ];
  return new Map(all.flatMap(([place, at]) => (at === undefined ? [] : [[place, at] as const])));
}

/** @throws where it could not be started: nothing would answer then, whoever asks */
async function ready({ child }: Lasting): Promise<void> {
  const [said] = (await child.stdout!.take(1).toArray()) as [Buffer?];
  if (said?.toString() !== 'ready\n')
    throw new Error('What answers for the neighbour did not start.');
}
