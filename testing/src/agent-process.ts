/**
 * An agent as a process of its own, so that a test can kill it: `node agent-process.ts <config>`.
 * The config is a JSON file (AgentProcessConfig). Says on stdout, one JSON object a line, what it
 * writes to its journals, when it is announced, how many machines wait. SIGTERM stops it in order.
 */
import { readFileSync, writeSync } from 'node:fs';
import { startAgent } from '@onejob/agent';
import { explainError } from '@onejob/protocol';
import type { AgentProcessConfig, AgentSaying } from './spawn-agent.ts';

const [, , path = ''] = process.argv;
const { image, dieAtLine, dieWaitedAt, ...config } = JSON.parse(
  readFileSync(path, 'utf8'),
) as AgentProcessConfig;
/** Synchronous: the next statement may be this process's last. */
const say = (saying: AgentSaying): void => void writeSync(1, `${JSON.stringify(saying)}\n`);

/** A machine that is made for its job has none of its things before its lease. */
let isWaited = false;
let waiting = 0;
const terminated = new Promise<void>((resolve) => {
  process.once('SIGTERM', () => resolve());
});
const LOOK_MS = 50;
// Held, as nothing else of a stopped agent keeps the event loop alive.
const alive = setInterval(() => look(), LOOK_MS);
let look = (): void => {};
try {
  await using agent = await startAgent({
    ...config,
    image: async () => {
      if (image === null) throw new Error('this agent was given no image');
      return image;
    },
    onJournalLine: (line, count) => {
      say({ saw: 'line', line, count });
      if (line.entry === 'lease') isWaited = count > 1;
      const isDue = count === dieAtLine || (isWaited && line.entry === dieWaitedAt);
      if (isDue) process.kill(process.pid, 'SIGKILL');
    },
    warn: (message) => void writeSync(2, `${message}\n`),
  });
  void agent.announced.then(
    () => say({ saw: 'announced' }),
    () => {},
  );
  look = () => {
    const machines = agent.waiting();
    if (machines !== waiting) say({ saw: 'waiting', machines });
    waiting = machines;
  };
  await terminated;
} catch (error) {
  writeSync(2, `${explainError(error)}\n`);
  process.exitCode = 1;
} finally {
  clearInterval(alive);
}
