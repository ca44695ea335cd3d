/**
 * Looks up the addresses of a name in DNS, and only in DNS: the host's /etc/hosts and search
 * domains name the inside and are not asked. Promise: it settles within the deadline, says all
 * addresses of both versions that were answered, and keeps nothing between two questions (each has
 * a channel of its own, so that a changed resolver configuration counts at once).
 */
import { Resolver } from 'node:dns/promises';

export type Resolution =
  | { kind: 'addresses'; addresses: readonly string[] }
  /** The name does not exist, or has no address. */
  | { kind: 'nothing' }
  | { kind: 'timeout' }
  /** The resolver answered with an error, or there is none; `code` is that of node:dns. */
  | { kind: 'error'; code: string };

export type NameResolver = {
  resolve(name: string, timeoutMs: number): Promise<Resolution>;
};

const NOTHING: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA']);
const TIMEOUT: ReadonlySet<string> = new Set(['ETIMEOUT', 'ECANCELLED']);

/**
 * @param servers addresses of resolvers, `address` or `address:port`; default: those of the host.
 */
export function createNameResolver(servers?: readonly string[]): NameResolver {
  return {
    async resolve(name, timeoutMs) {
      // Two tries of a third each: the second one still has time for its answer.
      const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 3), tries: 2 });
      if (servers !== undefined) resolver.setServers(servers);
      const deadline = setTimeout(() => resolver.cancel(), timeoutMs);
      try {
        // The dot makes the name absolute for every resolver on the way.
        const answers = await Promise.allSettled([
          resolver.resolve4(`${name}.`),
          resolver.resolve6(`${name}.`),
        ]);
        return combine(answers);
      } finally {
        clearTimeout(deadline);
      }
    },
  };
}

/** One version may fail when the other answered: only answered addresses are ever connected to. */
function combine(answers: readonly PromiseSettledResult<string[]>[]): Resolution {
  const addresses: string[] = [];
  const codes: string[] = [];
  for (const answer of answers) {
    if (answer.status === 'fulfilled') addresses.push(...answer.value);
    else codes.push(String((answer.reason as NodeJS.ErrnoException | undefined)?.code));
  }
  if (addresses.length > 0) return { kind: 'addresses', addresses: [...new Set(addresses)] };
  const failure = codes.find((code) => !NOTHING.has(code));
  if (failure === undefined) return { kind: 'nothing' };
  return TIMEOUT.has(failure) ? { kind: 'timeout' } : { kind: 'error', code: failure };
}
