/** Every limit of the image zone, each with its reason. */
const MiB = 1024 * 1024;
export const DAY_MS = 24 * 60 * 60 * 1000;

/** Free space asked for before a build: twice the 300 MB tree and base, the downloads, the result. */
export const BUILD_FREE_BYTES = 1500 * MiB;
/** Free space asked for when the base layer is there already: the tree and the resulting image. */
export const LAYER_FREE_BYTES = 800 * MiB;

/** Last lines of each output of a failed tool shown with the error; the rest is in the log file it names. */
export const FAILURE_LINES = 15;
/** Standard output of one tool kept in memory: a list of packages is 10 KB, a runaway is cut. */
export const TOOL_OUTPUT_BYTES = 8 * MiB;

/** Built images kept, newest first: two checkouts and their last changes. Imported ones stay. */
export const BUILT_IMAGES_KEPT = 4;
/** Younger images stay in any case: an agent that was started with one may still boot from it. */
export const BUILT_IMAGE_MIN_AGE_MS = 1 * DAY_MS;
/** Base layers kept (200 MB each): the present one and the one before an update. */
export const BASES_KEPT = 2;
/**
 * Guest runner bundles kept (below 4 MB each, with what lies beside them). A running process has read its
 * bundle whole, and comes back for the parser and for actions, which every later start marks as used.
 */
export const BUNDLES_KEPT = 16;

/** A manifest lists a few hundred packages: 20 KB. A larger file is not one of ours. */
export const MANIFEST_BYTES = 1 * MiB;
/** Largest part of an imported image: a root disk with toolchains; a mistaken disk dump is refused. */
export const IMPORT_PART_BYTES = 32 * 1024 * MiB;
/** A mirror list file of apt: a page of addresses. */
export const MIRROR_LIST_BYTES = 64 * 1024;

/** A file of promotions holds HISTORY_KEPT lines of some hundred bytes each. */
export const PROMOTIONS_BYTES = 4 * MiB;
/** Promotions and rollbacks remembered, newest last: a weekly one for nineteen years. */
export const HISTORY_KEPT = 1000;
/** Images of a label that a rollback can go back through. */
export const ROLLBACK_DEPTH = 50;
/** Between the look-up of an image for a job and its machine's start; after that the disk is open. */
export const USE_MARK_MS = 10 * 60 * 1000;

/** A directory of a root disk: 64 bytes a name, and the largest of Debian have thousands. */
export const EROFS_DIRECTORY_BYTES = 16 * MiB;
/** dpkg's list of all packages has 2 KB each; a root disk with every tool has some thousand. */
export const INVENTORY_FILE_BYTES = 64 * MiB;
/** Global npm packages that are listed, those inside others among them: npm itself brings 200. */
export const NPM_PACKAGE_FILES = 10_000;
/** Debian's security data has 80 MiB; a JavaScript text cannot be larger than this. */
export const SECURITY_DATA_BYTES = 512 * MiB;
/**
 * Security data that is older cannot judge an image: it misses weeks of weaknesses. The weekly timer
 * fetches it anew; twice that time serves who promotes by hand in between.
 */
export const SECURITY_DATA_MAX_AGE_MS = 14 * DAY_MS;
/** Findings named when a promotion is refused: a screen; the report has all. */
export const REFUSAL_FINDINGS = 7;
/** A reason is a sentence. */
export const REASON_CHARACTERS = 500;

/** Everything that the layers of an imported archive unpack to, what later layers replace included. */
export const IMPORT_UNPACKED_BYTES = 32 * 1024 * MiB;
/** Files, directories and links of all layers: the largest images of CI tools have 300,000. */
export const IMPORT_ENTRIES = 1_000_000;
/** Docker stops at 127. */
export const IMPORT_LAYERS = 256;
/** An index, a manifest or a configuration in an archive: some KB each. */
export const IMPORT_DOCUMENT_BYTES = 4 * MiB;
/** Indexes inside each other: tools make one in one. */
export const IMPORT_INDEX_DEPTH = 4;
/** Linux's own limits of a path and of a name (limits.h), so that what is packed can be unpacked. */
export const IMPORT_PATH_BYTES = 4095;
export const IMPORT_NAME_BYTES = 255;
/** Directories inside each other: real trees have 30; what walks one must not run out of stack. */
export const IMPORT_DEPTH = 200;
/** Links followed for one path, as Linux does (path_resolution(7)). */
export const IMPORT_LINKS = 40;
