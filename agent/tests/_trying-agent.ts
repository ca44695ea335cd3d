/** A process that tries its host, as an agent does at its start: a driver, or a network. */
import { probeDrivers, probeNetwork, type AgentConfig } from '../src/index.ts';

const { what, ...place } = JSON.parse(process.argv[2] ?? '') as Pick<
  AgentConfig,
  'stateDirectory' | 'cacheDirectory' | 'firecracker'
> & { what: 'qemu' | 'network' };

const config: AgentConfig = {
  ...place,
  ...{ controlPlaneSocketPath: '', guestRunnerPath: '', drivers: ['qemu'] },
  image: async () => await Promise.reject(new Error('no image is needed')),
};
const { works, note } =
  what === 'network'
    ? await probeNetwork(config)
    : (await probeDrivers(config)).map(({ probe }) => probe)[0]!;
process.stdout.write(JSON.stringify({ works, note }));
