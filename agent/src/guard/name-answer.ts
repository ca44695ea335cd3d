/** Answers a sandbox's question whether a name exists: 200, 404, 403 (refused), or 502 (nobody can say). */
import type { ServerHttp2Stream } from 'node:http2';
import type { Guard, GuardContext, LookedUp } from './guard.ts';
import { NAME_CHARACTERS } from './limits.ts';

const STATUSES: Readonly<Record<LookedUp['kind'], number>> = {
  addresses: 200,
  nothing: 404,
  refused: 403,
  failed: 502,
};

/** Never rejects. The addresses stay here: what the sandbox connects to is asked for by name. */
export async function answerName(
  stream: ServerHttp2Stream,
  name: string,
  guard: Guard,
  context: GuardContext,
): Promise<void> {
  stream.on('error', () => {});
  const isName = name.length <= NAME_CHARACTERS && /^[a-z0-9_.-]+$/.test(name);
  const { kind } = isName ? await guard.lookUp(name, context) : { kind: 'nothing' as const };
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': STATUSES[kind] }, { endStream: true });
}
