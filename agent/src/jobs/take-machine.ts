/**
 * Where a job's sandbox will be: on a machine of its kind that waits already, else in a place with
 * nothing in it yet. Decided before the lease, which names the sandbox.
 */
import type { Offer } from '@onejob/protocol/agent-service';
import { SandboxPlace } from '../sandbox/place.ts';
import type { SandboxHandle } from '../sandbox/driver.ts';
import { shapeOf } from '../sandbox/shape.ts';
import type { AgentContext } from './agent-context.ts';

export type TakenPlace = {
  place: SandboxPlace;
  /** Of a machine that waits. */
  handle: SandboxHandle | undefined;
  /** The job is somebody else's. */
  giveBack: () => void;
};

export async function takeMachine(agent: AgentContext, offer: Offer): Promise<TakenPlace> {
  // Whatever keeps a machine from being found is told when one is made.
  const waiting = await takeWaiting(agent, offer).catch(() => undefined);
  if (waiting !== undefined) return waiting;
  const place = new SandboxPlace(agent);
  return { place, handle: undefined, giveBack: () => place.leave() };
}

async function takeWaiting(agent: AgentContext, offer: Offer): Promise<TakenPlace | undefined> {
  const { pool, networks } = agent;
  const { driver, probe } = agent.chooseDriver(offer.driver);
  // A network is made for one job, with its policy.
  if (!pool.isOpen || networks !== undefined || driver.canWait !== true) return undefined;
  const image = probe.bootsImage ? await agent.image(offer) : null;
  const kind = { shape: shapeOf(offer), image };
  const machine = pool.take(driver, kind);
  if (machine === undefined) return undefined;
  return { ...machine, giveBack: () => pool.giveBack(driver, kind, machine) };
}

/** For files that somebody wants to look at, which are not where a machine that waited has them. */
export async function discardMachine(
  { stack }: SandboxPlace,
  handle: SandboxHandle | undefined,
): Promise<undefined> {
  await handle?.kill();
  await stack.undoTo(0);
}
