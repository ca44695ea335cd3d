/**
 * Where a repository is that a step checks out: the run's own comes over the link, every other from a
 * server, through the guard. Pure.
 */
import { GuestError } from '../errors.ts';
import type { CheckoutInputs } from './inputs.ts';

export type Place = {
  /** The run's own, from the snapshot that the host serves. */
  isOwn: boolean;
  /** Named like the run's own, wherever it is: without a ref, the run's commit is meant. */
  isOfRun: boolean;
  /** `owner/name` */
  name: string;
  /** What git fetches from. */
  url: string;
  /** The server of other repositories, without a slash at its end; empty: there is none. */
  server: string;
  /** The repository's address on that server, over http(s). */
  webUrl: string;
  /** The same in the form that the step's credentials are for; relative submodules begin there. */
  baseUrl: string;
};

/** What is known of the run and its host. */
export type Surroundings = {
  /** Of the run; null: it has no repository. */
  source: { repository: string } | null;
  /** As the `github` context calls it, which may be another name. */
  repository: string;
  /** Where the run's own repository is served, without a slash at its end. */
  ownServer: string;
  /** Where the host says that others are; empty: nowhere. */
  otherServer: string;
};

const isSame = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/** @throws GuestError `step` */
function readServer(text: string): string {
  const url = URL.parse(text);
  const isPlain =
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    [url.username, url.password, url.search, url.hash].every((part) => part === '');
  // The address may hold a password, so it is not repeated.
  if (!isPlain) {
    throw new GuestError(
      'step',
      "The input 'github-server-url' must be an address such as https://github.com, without a user.",
    );
  }
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
}

/** @throws GuestError `step` */
function readName(text: string): string {
  const parts = text.split('/');
  if (parts.length === 2 && parts.every((part) => /^[^\s\p{Cc}]+$/u.test(part))) return text;
  throw new GuestError('step', `Invalid repository '${text}'. Expected format {owner}/{repo}.`);
}

const encoded = (name: string): string => name.split('/').map(encodeURIComponent).join('/');

function elsewhere(
  server: string,
  name: string,
  inputs: CheckoutInputs,
): Pick<Place, 'webUrl' | 'baseUrl'> {
  if (server === '') return { webUrl: '', baseUrl: '' };
  const webUrl = `${server}/${encoded(name)}`;
  if (inputs.sshKey === '') return { webUrl, baseUrl: webUrl };
  const { hostname } = new URL(server);
  return { webUrl, baseUrl: `${inputs.sshUser}@${hostname}:${encoded(name)}.git` };
}

const noSource = (): GuestError =>
  new GuestError('step', 'actions/checkout: this run has no repository to check out.');

/** @throws GuestError `step`: no such address, or nowhere to get it from */
export function findPlace(inputs: CheckoutInputs, around: Surroundings): Place {
  const own = around.source?.repository ?? '';
  const asked = inputs.repository || own || around.repository;
  if (asked === '') throw noSource();
  const name = readName(asked);
  const isOfRun = [own, around.repository].some((one) => one !== '' && isSame(one, name));
  const wanted = inputs.serverUrl === '' ? '' : readServer(inputs.serverUrl);
  const isOwnServer = wanted === '' || isSame(wanted, around.ownServer);
  const server = isOwnServer ? around.otherServer : wanted;
  const other = elsewhere(server, name, inputs);
  if (isOfRun && isOwnServer) {
    if (around.source === null) throw noSource();
    const url = `${around.ownServer}/${around.source.repository}`;
    return { isOwn: true, isOfRun, name: around.source.repository, url, server, ...other };
  }
  if (server === '') {
    throw new GuestError(
      'step',
      `This host names no server of other repositories, so '${name}' cannot be found. Say where it ` +
        "is with the input 'github-server-url', or set ONEJOB_ACTIONS_URL on the host.",
    );
  }
  return { isOwn: false, isOfRun, name, url: other.baseUrl, server, ...other };
}
