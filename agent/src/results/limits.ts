/** Limits of the results endpoint, each with its reason. */
const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** A call's JSON: a key and ten restore keys of 512 characters fit several times. */
export const CALL_BYTES = 64 * KiB;
/** The list of blocks of one upload: UPLOAD_BLOCKS ids of BLOCK_ID_CHARACTERS, and their tags. A job's
 * are read one after the other, so that they do not fill the memory together. */
export const BLOCK_LIST_BYTES = 2 * MiB;
/** Faults of the service that one job's requests show the operator; a job could provoke them. */
export const WARNINGS_PER_JOB = 10;
/** For a call's or a list's body to come; it is one packet, or a few. */
export const CALL_BODY_MS = 30 * SECOND_MS;
/** An upload of which no byte came for so long is over: clients send again what was cut off. */
export const UPLOAD_IDLE_MS = 60 * SECOND_MS;

/** A cache key: GitHub's limit. */
export const KEY_CHARACTERS = 512;
/** Keys to restore besides the first: GitHub's clients send at most nine. */
export const RESTORE_KEYS = 10;
/** A cache version; GitHub's clients send 64 hexadecimal digits. */
export const VERSION_CHARACTERS = 256;
/** An artifact's name; it becomes a file's on the user's machine. */
export const ARTIFACT_NAME_CHARACTERS = 255;

/** One cache or artifact. GitHub keeps 10 GB of caches for a whole repository. */
export const ENTRY_BYTES = 10 * GiB;
/** All caches of a repository, GitHub's number; beyond it those that were not used longest go. */
export const REPOSITORY_CACHE_BYTES = 10 * GiB;
/** Artifacts a job makes: GitHub's limit (the readme of actions/upload-artifact, "Limitations"). */
export const ARTIFACTS_PER_JOB = 500;
/** All artifacts of a repository; beyond it those of pull requests go, and then new ones are refused:
 * a run may not lose what the next job of a trusted one relies on. */
export const REPOSITORY_ARTIFACT_BYTES = 20 * GiB;
/** A list of artifacts: 900 with the longest names, 3000 with usual ones. */
export const LIST_BYTES = 1024 * KiB - 64;
/** Caches in an answer; it is what clients print while they debug. GitHub's pages have at most so many. */
export const LISTED_CACHES = 100;
/** Caches of a repository, and its artifacts: each is held in memory, and read at the first use. */
export const REPOSITORY_ENTRIES = 5000;
/** GitHub's: a cache that nobody read for a week goes; an artifact stays 90 days and no longer. */
export const CACHE_UNUSED_MS = 7 * DAY_MS;
export const ARTIFACT_DAYS_MS = 90 * DAY_MS;

/** Uploads a job has open: it saves one cache or artifact at a time, a few in parallel. */
export const UPLOADS_PER_JOB = 32;
/** Bytes of all open uploads of a job: two of the largest. */
export const UPLOAD_BYTES_PER_JOB = 2 * ENTRY_BYTES;
/** Blocks of one upload: ENTRY_BYTES in the 8 MiB that artifacts are cut into, eight times over. */
export const UPLOAD_BLOCKS = 10_000;
/** A block's id as Azure's storage has it: 64 bytes, in base64. */
export const BLOCK_ID_CHARACTERS = 88;
/** After so many bytes of a body the disk is looked at again: jobs fill it meanwhile. */
export const ROOM_LOOK_BYTES = 16 * MiB;

/** An address that is its own permission ends some time, also when it gets out of the job. */
export const SIGNED_URL_MS = 60 * MINUTE_MS;
