/** Every limit of the image zone, each with its reason. */
const MiB = 1024 * 1024;

/** Free space asked for before a build: twice the 300 MB tree and base, the downloads, the result. */
export const BUILD_FREE_BYTES = 1500 * MiB;
/** Free space asked for when the base layer is there already: the tree and the resulting image. */
export const LAYER_FREE_BYTES = 800 * MiB;

/** Lines of a failed tool shown with the error; the rest is in the log file it names. */
export const FAILURE_LINES = 15;
/** Standard output of one tool kept in memory: a list of packages is 10 KB, a runaway is cut. */
export const TOOL_OUTPUT_BYTES = 8 * MiB;

/** Built images kept, newest first: two checkouts and their last changes. Imported ones stay. */
export const BUILT_IMAGES_KEPT = 4;
/** Younger images stay in any case: an agent that was started with one may still boot from it. */
export const BUILT_IMAGE_MIN_AGE_MS = 24 * 60 * 60 * 1000;
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
