/**
 * What is behind `GITHUB_API_URL` and `GITHUB_GRAPHQL_URL`: no API yet. They are addresses of the job's
 * own machine all the same: clients that find none ask https://api.github.com, and show it the job's
 * token. The answer has the form of GitHub's errors, so its clients show the sentence.
 */
import type { ServerResponse } from 'node:http';

/** `~` begins no owner's name, so git asks for nothing below it. */
const API_PATH = '/~api/';

const ANSWER = {
  message:
    'onejob has no API of a forge in a job yet. Give the action the address of an API and a token for it',
  status: '404',
};

/** Keys of the `github` context. @param port of the listener on loopback */
export const apiAddresses = (port: number): { api_url: string; graphql_url: string } => ({
  api_url: `http://127.0.0.1:${port}${API_PATH}v3`,
  graphql_url: `http://127.0.0.1:${port}${API_PATH}graphql`,
});

export const isApiPath = (url: URL): boolean => url.pathname.startsWith(API_PATH);

export function refuseApi(response: ServerResponse): void {
  response.writeHead(404, { 'content-type': 'application/json; charset=utf-8' });
  response.end(JSON.stringify(ANSWER));
}
