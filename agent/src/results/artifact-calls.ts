/**
 * GitHub's artifact service: Twirp calls in JSON, bytes by signed addresses. Artifacts belong to a run:
 * each job of it reads and deletes those of all, and makes its own.
 */
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { type Answer, type Call, Int64, parseCall } from './answer.ts';
import type { JobResults } from './job-results.ts';
import { ARTIFACT_DAYS_MS, ARTIFACT_NAME_CHARACTERS, LIST_BYTES } from './limits.ts';
import { ResultsRefused } from './refused.ts';
import type { ArtifactName, Entry } from './store.ts';

const Ids = {
  workflow_run_backend_id: Type.String(),
  workflow_job_run_backend_id: Type.String(),
};
const Named = { ...Ids, name: Type.String() };
const createSchema = Compile(
  Type.Object({
    ...Named,
    expires_at: Type.Optional(Type.String()),
    mime_type: Type.Optional(Type.String()),
  }),
);
const finalizeSchema = Compile(
  Type.Object({ ...Named, size: Int64, hash: Type.Optional(Type.String()) }),
);
const listSchema = Compile(
  Type.Object({
    ...Ids,
    name_filter: Type.Optional(Type.String()),
    id_filter: Type.Optional(Int64),
  }),
);
const namedSchema = Compile(Type.Object(Named));

/** What no file system takes in a name, as GitHub's client has it; and names that are directories. */
const WRONG_NAME = /["*/:<>?\\|\p{Cc}]|^\.{1,2}$/u;
const MIME_TYPE = /^[\w.+-]{1,100}\/[\w.+-]{1,100}$/;
const SHA256 = /^sha256:([0-9a-f]{64})$/;

function checkName(name: string): void {
  const hasLength = name !== '' && name.length <= ARTIFACT_NAME_CHARACTERS;
  if (hasLength && name.isWellFormed() && !WRONG_NAME.test(name)) return;
  throw new ResultsRefused(
    'invalid_argument',
    `An artifact's name has 1 to ${ARTIFACT_NAME_CHARACTERS} characters, and none of " : < > | * ? \\ /.`,
  );
}

/** The ids are in the job's token for everybody to read: knowing them permits nothing. */
function checkRun({ grant }: JobResults, ids: { workflow_run_backend_id: string }): void {
  if (ids.workflow_run_backend_id === grant.runId) return;
  throw new ResultsRefused('permission_denied', 'A job reaches the artifacts of its own run only.');
}

function checkJob(
  results: JobResults,
  ids: { workflow_run_backend_id: string; workflow_job_run_backend_id: string },
): void {
  checkRun(results, ids);
  if (ids.workflow_job_run_backend_id === results.grant.jobId) return;
  throw new ResultsRefused('permission_denied', 'A job makes artifacts in its own name only.');
}

const artifactName = ({ grant }: JobResults, name: string): ArtifactName => ({
  kind: 'artifact',
  runId: grant.runId,
  attempt: grant.attempt,
  name,
});

/** Of any attempt of the run; of several the newest. */
async function named(
  results: JobResults,
  asked: { workflow_run_backend_id: string; workflow_job_run_backend_id: string; name: string },
): Promise<Entry> {
  checkRun(results, asked);
  const { repository, runId } = results.grant;
  const found = (await results.store.artifacts(repository, runId)).find(
    ({ name, jobId }) => name.name === asked.name && jobId === asked.workflow_job_run_backend_id,
  );
  if (found !== undefined) return found;
  throw new ResultsRefused('not_found', `The run has no artifact ${JSON.stringify(asked.name)}.`);
}

/** The control plane grants a pull request's job its merge ref to write, and nothing else. */
const isOfPullRequest = ({ grant }: JobResults): boolean =>
  grant.writableRef.startsWith('refs/pull/');

/** As the job wishes, and not longer than artifacts are kept. */
function expiry(wish: string | undefined, nowMs: number): number {
  const longest = nowMs + ARTIFACT_DAYS_MS;
  const wished = wish === undefined ? Number.NaN : Date.parse(wish);
  return Number.isNaN(wished) ? longest : Math.min(Math.max(wished, nowMs), longest);
}

function digestOf(hash: string | undefined): { sha256?: string } {
  if (hash === undefined) return {};
  const [, sha256] = SHA256.exec(hash) ?? [];
  if (sha256 !== undefined) return { sha256 };
  throw new ResultsRefused('invalid_argument', 'A hash is `sha256:` and 64 hexadecimal digits.');
}

const describe = ({
  id,
  name,
  jobId,
  sizeBytes,
  sha256,
  createdAtMs,
}: Entry<ArtifactName>): Record<string, string> => ({
  workflow_run_backend_id: name.runId,
  workflow_job_run_backend_id: jobId,
  database_id: String(id),
  name: name.name,
  size: String(sizeBytes),
  created_at: new Date(createdAtMs).toISOString(),
  digest: `sha256:${sha256}`,
});

/** The protocol has no pages; a part of the list, without a word, would pass for the whole. */
const tooMany = (count: number): ResultsRefused =>
  new ResultsRefused(
    'resource_exhausted',
    `The list of the run's ${count} artifacts has more than ${LIST_BYTES} bytes. Ask for them by name.`,
  );

/** By the last part of the path. */
export const ARTIFACT_CALLS: Readonly<
  Record<string, (call: Call, body: string) => Promise<Answer>>
> = {
  CreateArtifact: async ({ results, url }, body) => {
    const asked = parseCall(createSchema, body);
    checkJob(results, asked);
    checkName(asked.name);
    const mimeType = asked.mime_type ?? 'application/zip';
    const number = await results.begin({
      name: artifactName(results, asked.name),
      jobId: results.grant.jobId,
      mimeType: MIME_TYPE.test(mimeType) ? mimeType : 'application/octet-stream',
      expiresAtMs: expiry(asked.expires_at, Date.now()),
      isOfPullRequest: isOfPullRequest(results),
    });
    const signed_upload_url = results.signer.sign(url.origin, 'upload', number);
    return { status: 200, json: { ok: true, signed_upload_url } };
  },

  FinalizeArtifact: async ({ results }, body) => {
    const asked = parseCall(finalizeSchema, body);
    checkJob(results, asked);
    const entry = await results.finish(artifactName(results, asked.name), {
      sizeBytes: Number(asked.size),
      ...digestOf(asked.hash),
    });
    return { status: 200, json: { ok: true, artifact_id: String(entry.id) } };
  },

  ListArtifacts: async ({ results }, body) => {
    const asked = parseCall(listSchema, body);
    checkRun(results, asked);
    const { name_filter: nameFilter, id_filter: idFilter } = asked;
    const { repository, runId } = results.grant;
    const artifacts = (await results.store.artifacts(repository, runId))
      .filter(({ name }) => nameFilter === undefined || name.name === nameFilter)
      .filter(({ id }) => idFilter === undefined || id === Number(idFilter));
    let bytes = 0;
    const listed = artifacts.map((artifact) => {
      const described = describe(artifact);
      bytes += Buffer.byteLength(JSON.stringify(described)) + 1;
      if (bytes > LIST_BYTES) throw tooMany(artifacts.length);
      return described;
    });
    return { status: 200, json: { artifacts: listed } };
  },

  GetSignedArtifactURL: async ({ results, url }, body) => {
    const { id } = await named(results, parseCall(namedSchema, body));
    return { status: 200, json: { signed_url: results.signer.sign(url.origin, 'download', id) } };
  },

  DeleteArtifact: async ({ results }, body) => {
    const entry = await named(results, parseCall(namedSchema, body));
    const ok = await results.store.remove(results.grant.repository, entry);
    return { status: 200, json: { ok, artifact_id: String(entry.id) } };
  },
};
