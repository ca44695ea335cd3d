/** A process that tries its host, as an agent does at its start: a driver, a network, or all of it. */
import { explainError } from '@onejob/protocol';
import { probeDrivers, probeNetwork, startAgent, type AgentConfig } from '../src/index.ts';

const { what, ...place } = JSON.parse(process.argv[2] ?? '') as Pick<
  AgentConfig,
  'stateDirectory' | 'cacheDirectory'
> & { what: 'agent with networks' | 'network' | 'qemu' };

const config: AgentConfig = {
  ...place,
  ...{ controlPlaneSocketPath: '', guestRunnerPath: '', drivers: ['qemu'] },
  image: async () => await Promise.reject(new Error('no image is needed')),
};
const tried = {
  network: async () => await probeNetwork(config),
  qemu: async () => (await probeDrivers(config))[0]?.probe,
  'agent with networks': async () => {
    const started = startAgent({ ...config, network: 'nat', slots: 0 });
    return await started.then(
      async (agent) => {
        await agent[Symbol.asyncDispose]();
        return { note: 'it starts' };
      },
      (error: unknown) => ({ note: explainError(error) }),
    );
  },
};
process.stdout.write(JSON.stringify(await tried[what]()));
