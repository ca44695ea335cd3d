/**
 * News between control planes on one Postgres, by LISTEN/NOTIFY. News are gathered for a moment and
 * sent on a connection of their own, outside the transactions they are about: NOTIFY inside one would
 * make all commits take turns. Lost news (the connection broke) make others late, never wrong.
 */
import { randomUUID } from 'node:crypto';
import type { Client } from 'pg';
import { RELAY_GATHER_MS, RELAY_RECONNECT_MS } from '../limits.ts';
import type { Change, Notifier } from './notifier.ts';

const CHANNEL = 'onejob_changes';
/** A notification's payload is shorter than 8000 bytes (PostgreSQL, "NOTIFY"). */
const PAYLOAD_BYTES = 7900;

type News = { from: string; changes: Change[] };

export async function startRelay(url: string, notifier: Notifier): Promise<AsyncDisposable> {
  const relay = new Relay(url, notifier);
  await relay.start();
  return relay;
}

class Relay implements AsyncDisposable {
  readonly #url: string;
  readonly #notifier: Notifier;
  readonly #from = randomUUID();
  #client: Client | undefined;
  #gathered = new Map<string, Change>();
  #gathering: NodeJS.Timeout | undefined;
  #reconnecting: NodeJS.Timeout | undefined;
  #sending: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(url: string, notifier: Notifier) {
    this.#url = url;
    this.#notifier = notifier;
  }

  async start(): Promise<void> {
    await this.#connect();
    this.#notifier.relayTo((changes) => this.#gather(changes));
  }

  async #connect(): Promise<void> {
    const { default: pg } = await import('pg');
    const client = new pg.Client({ connectionString: this.#url, application_name: 'onejob news' });
    // After any break: a new connection, once.
    const broken = (): void => {
      if (this.#client !== client) return;
      this.#client = undefined;
      this.#reconnectLater();
    };
    client.on('error', broken);
    client.on('end', broken);
    client.on('notification', ({ payload }) => this.#hear(payload ?? ''));
    try {
      await client.connect();
      await client.query(`listen ${CHANNEL}`);
    } catch (error) {
      await client.end().catch(() => {});
      throw error;
    }
    if (this.#stopped) await client.end();
    else this.#client = client;
  }

  #reconnectLater(): void {
    if (this.#stopped) return;
    this.#reconnecting = setTimeout(() => {
      this.#connect().catch(() => this.#reconnectLater());
    }, RELAY_RECONNECT_MS);
  }

  #hear(payload: string): void {
    const news = JSON.parse(payload) as News;
    if (news.from !== this.#from) this.#notifier.deliver(news.changes);
  }

  #gather(changes: readonly Change[]): void {
    for (const change of changes) this.#gathered.set(JSON.stringify(change), change);
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#sending = this.#sending.then(async () => await this.#send());
    }, RELAY_GATHER_MS);
  }

  async #send(): Promise<void> {
    const changes = [...this.#gathered.values()];
    this.#gathered = new Map();
    const client = this.#client;
    if (client === undefined) return;
    for (const part of parts(changes)) {
      const news: News = { from: this.#from, changes: part };
      await client
        .query('select pg_notify($1, $2)', [CHANNEL, JSON.stringify(news)])
        .catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    this.#notifier.relayTo(undefined);
    clearTimeout(this.#gathering);
    clearTimeout(this.#reconnecting);
    await this.#sending;
    const client = this.#client;
    this.#client = undefined;
    await client?.end();
  }
}

/** Changes in groups whose notifications are short enough. */
function parts(changes: readonly Change[]): Change[][] {
  const groups: Change[][] = [];
  let room = 0;
  for (const change of changes) {
    const bytes = JSON.stringify(change).length + 1;
    if (bytes > room) {
      groups.push([]);
      room = PAYLOAD_BYTES - 100;
    }
    groups.at(-1)?.push(change);
    room -= bytes;
  }
  return groups;
}
